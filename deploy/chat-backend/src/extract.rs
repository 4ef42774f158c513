//! What handlers take from a verified call: its tenant, its query parameters, its body.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::{Map, Value};
use service::{ApiError, body::json_object, query::Query};
use wire::{
    ErrorCode, TenantId,
    operator::{ActingOperator, OPERATOR_PARAMETER},
};

use super::{
    handling::Handling,
    records::conversations::{self, Conversation},
    takeover::Holder,
    verify::{Actor, VerifiedBody},
};

/// The tenant that a verified call is for.
pub(crate) struct Tenant(pub(crate) TenantId);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<TenantId>()
            .copied()
            .map(Self)
            .ok_or_else(|| ApiError::internal("a signed route without its signature check"))
    }
}

/// The operator who acts, as the signature vouched for it: the id is the actor's, and the rest the relay's own parameter.
pub(crate) struct Acting {
    pub(crate) operator: Holder,
    /// The queues the operator sees; none: all of the tenant.
    pub(crate) routing_keys: Vec<String>,
}

impl Acting {
    /// Whether the operator may see a conversation. If not, the answer is the same as for one that does not exist.
    ///
    /// # Errors
    /// `conversation_not_found`.
    pub(crate) fn may_see(&self, conversation: &Conversation) -> Result<(), ApiError> {
        if self.sees(conversation.row.routing_key.as_deref()) { Ok(()) } else { Err(conversations::not_found()) }
    }

    /// Whether the operator sees the conversations of a routing key, or those of none.
    pub(crate) fn sees(&self, routing_key: Option<&str>) -> bool {
        self.routing_keys.is_empty() || self.routing_keys.iter().any(|key| Some(key.as_str()) == routing_key)
    }

    /// Whether the operator may answer the visitor: only the one who has the conversation may.
    ///
    /// # Errors
    /// `conversation_not_found`, `not_assigned`.
    pub(crate) fn may_answer(&self, conversation: &Conversation) -> Result<(), ApiError> {
        self.may_see(conversation)?;
        let holder = conversation.holder.as_ref().map(|holder| holder.operator_id.as_str());
        let is_mine = holder == Some(self.operator.operator_id.as_str());
        if conversation.handling == Handling::Assigned && is_mine {
            return Ok(());
        }
        Err(ApiError::new(ErrorCode::NotAssigned, "This conversation is not yours to answer. Claim it first."))
    }
}

impl<S: Sync> FromRequestParts<S> for Acting {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let actor = parts.extensions.get::<Actor>().ok_or_else(|| ApiError::internal("no actor"))?;
        let id = actor.0.strip_prefix("operator:").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| ApiError::field("X-Relay-Actor", "must be operator:<id> here"))?.to_owned();
        let mut query = Query::parse(parts.uri.query());
        let acting = query.required::<ActingOperator>(OPERATOR_PARAMETER);
        query.finish()?;
        let ActingOperator { display_name, avatar_url, routing_keys } =
            acting.ok_or_else(|| ApiError::internal("a parameter was neither read nor refused"))?;
        Ok(Self { operator: Holder { operator_id: id, display_name, avatar_url }, routing_keys })
    }
}

/// The call's query parameters.
pub(crate) struct Params(pub(crate) Query);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Query::parse_literal_plus(parts.uri.query())))
    }
}

/// The call's body: a JSON object. The signature check has read it whole.
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl<S: Sync> FromRequestParts<S> for Object {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let body = parts.extensions.get::<VerifiedBody>().ok_or_else(|| ApiError::internal("no verified body"))?;
        json_object(&body.0).map(Self)
    }
}
