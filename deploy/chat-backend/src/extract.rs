//! What handlers take from a verified call: its tenant, its query parameters, its body.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::{Map, Value};
use service::{ApiError, body::json_object, query::Query};
use wire::TenantId;

use super::verify::VerifiedBody;

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
