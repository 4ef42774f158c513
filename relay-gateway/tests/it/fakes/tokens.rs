//! Visitors' and operators' tokens, and the keys that sign them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{signed::Tenant, visitor::PAGE};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{SessionId, time::now_unix_ms};

/// What signs tokens here.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A token as the admin service would sign it, with claims added or replaced.
pub(crate) fn visitor_token(tenant: &Tenant, claims: &Value) -> String {
    let mut all = json!({
        "iss": "chat-relay", "aud": "chat-widget-session", "sub": SessionId::generate().to_string(),
        "iat": now_unix_ms() / 1000, "exp": now_unix_ms() / 1000 + 3600, "tenant_id": tenant.id, "role": "visitor",
        "widget_key": tenant.widget_public_key, "origin": PAGE,
    });
    sign(&mut all, claims)
}

/// The same for an operator.
pub(crate) fn operator_token(tenant: &Tenant, operator: Uuid, claims: &Value) -> String {
    let mut all = json!({
        "iss": "chat-relay", "aud": "chat-backend", "sub": operator, "iat": now_unix_ms() / 1000,
        "exp": now_unix_ms() / 1000 + 3600, "tenant_id": tenant.id, "role": "operator", "display_name": "Ada",
        "routing_keys": ["sales"], "tids": {tenant.id.clone(): "operator"}, "tenant_generation": 0,
        "membership_version": 0, "auth_time": now_unix_ms() / 1000 - 60,
    });
    sign(&mut all, claims)
}

fn sign(all: &mut Value, claims: &Value) -> String {
    for (claim, value) in claims.as_object().expect("claims") {
        all[claim] = value.clone();
    }
    let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", segment(&json!({"alg": "EdDSA", "kid": "k1"})), segment(all));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signing_key().sign(text.as_bytes()).to_bytes()))
}

pub(crate) fn jwks() -> String {
    let x = URL_SAFE_NO_PAD.encode(signing_key().verifying_key().to_bytes());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": x});
    json!({"keys": [key]}).to_string()
}
