//! Signed tokens (JWT, Ed25519) for operators and visitors, and the public keys to check them with.
//!
//! The signing key is made once, sealed in the database and shared by all replicas.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey as _};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use shared::{TenantId, time::now};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::{operator::Operator, signing_key::SealedSigningKey, tenant::Tenant, visitor::VisitorSession},
    errors::UseCaseError,
    sealing::{MasterKeys, Place},
    store::SigningKeyStore,
};

const PRIVATE_COLUMN: &str = "signing_key.private";

/// The `aud` of an operator's token: what the chat backend accepts.
const OPERATOR_AUDIENCE: &str = "chat-backend";
/// The `aud` of a token for a visitor the tenant's backend knows.
const VISITOR_AUDIENCE: &str = "chat-widget";
/// The `aud` of a widget session's token: what a gateway's socket accepts. None of the three passes for another.
const SESSION_AUDIENCE: &str = "chat-widget-session";

#[derive(Clone)]
pub(crate) struct Tokens {
    issuer: Arc<str>,
    operator_ttl: Duration,
    session_ttl: Duration,
    key_id: Arc<str>,
    signing_key: Arc<EncodingKey>,
    jwks: Arc<str>,
}

/// A signed token and when it ends.
pub(crate) struct SignedToken {
    /// Its `jti`.
    pub(crate) id: Uuid,
    pub(crate) token: String,
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
    tenant_id: TenantId,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_keys: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    widget_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    /// The tenants an operator may act in, each with its role: this one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    tids: Option<BTreeMap<TenantId, &'a str>>,
    /// Of a minted token: [`Tenant::visitor_revocations`] when it was issued. Of a session's: its place among the session's tokens,
    /// [`crate::domain::visitor::UsedTokens`].
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// [`Tenant::token_generation`] when it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_generation: Option<u64>,
}

impl<'a> Claims<'a> {
    /// What every token says.
    fn of(tenant_id: TenantId, role: &'a str, aud: &'a str, sub: &'a str) -> Self {
        Self {
            iss: "",
            aud,
            sub,
            iat: 0,
            exp: 0,
            jti: Uuid::now_v7(),
            tenant_id,
            role,
            display_name: None,
            routing_keys: None,
            email_hash: None,
            widget_key: None,
            origin: None,
            tids: None,
            generation: None,
            tenant_generation: None,
        }
    }
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: String,
    x: String,
}

#[derive(Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

impl Tokens {
    /// Finds the signing key, or makes it where this is the first start.
    pub(crate) async fn open(
        store: &dyn SigningKeyStore,
        master_keys: &MasterKeys,
        issuer: String,
        (operator_ttl, session_ttl): (Duration, Duration),
    ) -> Result<Self, UseCaseError> {
        let mut keys = store.signing_keys().await?;
        if keys.is_empty() {
            keys = store.ensure_signing_key(make_key(master_keys)).await?;
        }
        let opened: Vec<(SealedSigningKey, SigningKey)> =
            keys.into_iter().filter_map(|key| open_key(master_keys, key)).collect();
        let (newest, signing_key) = opened.first().ok_or_else(|| {
            let reason = "no signing key opens under the configured master_keys";
            UseCaseError::Signing(reason.to_owned())
        })?;
        let pkcs8 = signing_key.to_pkcs8_der().map_err(|error| UseCaseError::Signing(error.to_string()))?;
        let jwks = Jwks {
            keys: opened
                .iter()
                .map(|(key, _)| Jwk {
                    kty: "OKP",
                    crv: "Ed25519",
                    alg: "EdDSA",
                    r#use: "sig",
                    kid: key.id.to_string(),
                    x: URL_SAFE_NO_PAD.encode(&key.public),
                })
                .collect(),
        };
        Ok(Self {
            issuer: issuer.into(),
            operator_ttl,
            session_ttl,
            key_id: newest.id.to_string().into(),
            signing_key: Arc::new(EncodingKey::from_ed_der(pkcs8.as_bytes())),
            jwks: serde_json::to_string(&jwks).map_err(|error| UseCaseError::Signing(error.to_string()))?.into(),
        })
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517).
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// A token that lets `operator` act in its tenant and nowhere else.
    pub(crate) fn for_operator(&self, tenant: &Tenant, operator: &Operator) -> Result<SignedToken, UseCaseError> {
        let subject = operator.id.to_string();
        let claims = Claims {
            display_name: Some(&operator.display_name),
            routing_keys: Some(&operator.routing_keys),
            tids: Some(BTreeMap::from([(operator.tenant_id, "operator")])),
            tenant_generation: Some(tenant.token_generation),
            ..Claims::of(operator.tenant_id, "operator", OPERATOR_AUDIENCE, &subject)
        };
        self.sign(self.operator_ttl, claims)
    }

    /// A token for a visitor the tenant knows.
    pub(crate) fn for_visitor(
        &self,
        tenant: &Tenant,
        visitor_user_id: &str,
        email_hash: Option<&str>,
        ttl: Duration,
    ) -> Result<SignedToken, UseCaseError> {
        let (generation, tenant_generation) = (Some(tenant.visitor_revocations), Some(tenant.token_generation));
        let claims = Claims {
            email_hash,
            generation,
            tenant_generation,
            ..Claims::of(tenant.id, "visitor", VISITOR_AUDIENCE, visitor_user_id)
        };
        self.sign(ttl, claims)
    }

    /// A token for a widget's visitor: bound to tenant, widget key, origin and session, of this generation among its session's.
    pub(crate) fn for_session(&self, session: &VisitorSession, generation: u64) -> Result<SignedToken, UseCaseError> {
        let (subject, origin) = (session.id.to_string(), session.origin.to_string());
        let claims = Claims {
            widget_key: Some(session.widget_key.as_str()),
            origin: Some(&origin),
            generation: Some(generation),
            ..Claims::of(session.tenant_id, "visitor", SESSION_AUDIENCE, &subject)
        };
        self.sign(self.session_ttl, claims)
    }

    fn sign(&self, ttl: Duration, claims: Claims<'_>) -> Result<SignedToken, UseCaseError> {
        let issued = now().as_second();
        let expires = issued.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let header = Header { kid: Some(self.key_id.to_string()), ..Header::new(Algorithm::EdDSA) };
        let id = claims.jti;
        let claims = Claims { iss: &self.issuer, iat: issued, exp: expires, ..claims };
        let token = jsonwebtoken::encode(&header, &claims, &self.signing_key)
            .map_err(|error| UseCaseError::Signing(error.to_string()))?;
        let expires_at = Timestamp::from_second(expires).map_err(|error| UseCaseError::Signing(error.to_string()))?;
        Ok(SignedToken { id, token, expires_at })
    }
}

/// Opens a key, and makes sure that its public half is its own. `None` for any other row: whoever can write to the database, and has
/// no master key, must not be able to publish a key of theirs.
fn open_key(master_keys: &MasterKeys, key: SealedSigningKey) -> Option<(SealedSigningKey, SigningKey)> {
    let place = Place { row: key.id, column: PRIVATE_COLUMN };
    let opened = match master_keys.open(place, &key.sealed_private) {
        Ok(seed) => {
            <[u8; 32]>::try_from(seed.as_slice()).map(Zeroizing::new).map_err(|_| "it has not 32 bytes".to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    let refused = match opened.map(|seed| SigningKey::from_bytes(&seed)) {
        Ok(opened) if opened.verifying_key().as_bytes().as_slice() == key.public => return Some((key, opened)),
        Ok(_) => "its public half is another key's".to_owned(),
        Err(reason) => reason,
    };
    tracing::error!(key_id = %key.id, reason = refused, "a signing key is left out: it neither signs nor is published");
    None
}

fn make_key(master_keys: &MasterKeys) -> SealedSigningKey {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).expect("the system has randomness");
    let id = Uuid::now_v7();
    SealedSigningKey {
        id,
        public: SigningKey::from_bytes(&seed).verifying_key().to_bytes().to_vec(),
        sealed_private: master_keys.seal(Place { row: id, column: PRIVATE_COLUMN }, seed.as_slice()),
        created_at: now(),
    }
}
