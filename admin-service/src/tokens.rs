//! Signed tokens (JWT, Ed25519) for operators and visitors.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use uuid::Uuid;
use wire::{TenantId, time::now};

use crate::{
    domain::{operator::Operator, tenant::Tenant, visitor::VisitorSession},
    errors::UseCaseError,
    signing_keys::SigningKeys,
};

/// The `aud` of an operator's token: what the chat backend accepts.
const OPERATOR_AUDIENCE: &str = "chat-backend";
/// The `aud` of a token for a visitor the tenant's backend knows.
const VISITOR_AUDIENCE: &str = "chat-widget";
/// The `aud` of a widget session's token: what a gateway's socket accepts. None of the three passes for another.
const SESSION_AUDIENCE: &str = "chat-widget-session";

#[derive(Clone)]
pub(crate) struct Tokens {
    keys: SigningKeys,
    issuer: Arc<str>,
    operator_ttl: Duration,
    session_ttl: Duration,
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
    /// [`Tenant::token_generation`] when it was issued. Of a session's: when the tenant's backend vouched for the visitor, where it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_generation: Option<u64>,
    /// [`Operator::version`] when it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    membership_version: Option<u64>,
    /// When the tenant's backend vouched for the operator: when the first token of this chain was issued. Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
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
            membership_version: None,
            auth_time: None,
        }
    }
}

impl Tokens {
    /// Signed with whichever of the keys signs at the time, by this issuer.
    pub(crate) fn new(keys: SigningKeys, issuer: String, (operator_ttl, session_ttl): (Duration, Duration)) -> Self {
        Self { keys, issuer: issuer.into(), operator_ttl, session_ttl }
    }

    /// A token that lets `operator` act in its tenant and nowhere else. One that is refreshed says when the first was issued, and ends
    /// at `shift`'s end at the latest.
    pub(crate) async fn for_operator(
        &self,
        tenant: &Tenant,
        operator: &Operator,
        shift: Option<(Timestamp, Timestamp)>,
    ) -> Result<SignedToken, UseCaseError> {
        let subject = operator.id.to_string();
        let issued = now();
        let (began, ends) = shift.unwrap_or((issued, Timestamp::MAX));
        let left = Duration::try_from(ends.duration_since(issued)).unwrap_or_default();
        let claims = Claims {
            membership_version: Some(operator.version),
            auth_time: Some(began.as_second()),
            display_name: Some(&operator.display_name),
            routing_keys: Some(&operator.routing_keys),
            tids: Some(BTreeMap::from([(operator.tenant_id, "operator")])),
            tenant_generation: Some(tenant.token_generation),
            ..Claims::of(operator.tenant_id, "operator", OPERATOR_AUDIENCE, &subject)
        };
        self.sign(self.operator_ttl.min(left), claims).await
    }

    /// A token for a visitor the tenant knows.
    pub(crate) async fn for_visitor(
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
        self.sign(ttl, claims).await
    }

    /// A token for a widget's visitor: bound to tenant, widget key, origin and session, of this generation among its session's.
    pub(crate) async fn for_session(
        &self,
        session: &VisitorSession,
        generation: u64,
    ) -> Result<SignedToken, UseCaseError> {
        let (subject, origin) = (session.id.to_string(), session.origin.to_string());
        let claims = Claims {
            widget_key: Some(session.widget_key.as_str()),
            origin: Some(&origin),
            generation: Some(generation),
            tenant_generation: session.identity.as_ref().map(|identity| identity.tenant_generation),
            ..Claims::of(session.tenant_id, "visitor", SESSION_AUDIENCE, &subject)
        };
        self.sign(self.session_ttl, claims).await
    }

    async fn sign(&self, ttl: Duration, claims: Claims<'_>) -> Result<SignedToken, UseCaseError> {
        let issued = now().as_second();
        let expires = issued.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let signer = self.keys.signer().await?;
        let header = Header { kid: Some(signer.id.to_string()), ..Header::new(Algorithm::EdDSA) };
        let id = claims.jti;
        let claims = Claims { iss: &self.issuer, iat: issued, exp: expires, ..claims };
        let token = jsonwebtoken::encode(&header, &claims, &signer.key)
            .map_err(|error| UseCaseError::Signing(error.to_string()))?;
        let expires_at = Timestamp::from_second(expires).map_err(|error| UseCaseError::Signing(error.to_string()))?;
        Ok(SignedToken { id, token, expires_at })
    }
}
