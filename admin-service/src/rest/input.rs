//! Reading what operators send: query parameters and a bounded JSON body.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use serde_json::{Map, Value};
use service::{
    ApiError,
    body::{self, BodyBounds},
    query::Query,
};
use wire::TenantId;

use crate::domain::audit::Caller;

/// A tenant with every field at its longest is a fifth of this.
const BODY: BodyBounds =
    BodyBounds { limit: 256 * 1024, idle_timeout: Duration::from_secs(10), total_timeout: Duration::from_secs(30) };

/// The caller, as the key check found.
pub(super) struct Known(pub(super) Caller);

/// The call's query parameters.
pub(super) struct Params(pub(super) Query);

/// The call's body: a JSON object.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl<S: Sync> axum::extract::FromRequestParts<S> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .map(Self)
            .ok_or_else(|| ApiError::internal("a protected route without its key check"))
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Query::parse(parts.uri.query())))
    }
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        read_fields(&parts.headers, body).await.map(Self)
    }
}

/// A body that is a JSON object.
pub(super) async fn read_fields(headers: &http::HeaderMap, body: Body) -> Result<Map<String, Value>, ApiError> {
    body::check_not_encoded(headers)?;
    let (bytes, _) = body::read(headers, body, BODY, &mut ()).await?;
    body::json_object(&bytes)
}

impl Params {
    /// `true` or `false`; `false` where absent.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        match self.0.optional::<String>(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.0.refuse(name, "must be true or false");
                false
            }
        }
    }

    /// `?tenant_id=&event_id=`.
    pub(super) fn event(mut self) -> Result<(TenantId, String), ApiError> {
        let (tenant_id, event_id) = (self.0.required("tenant_id"), self.0.required::<String>("event_id"));
        self.0.finish()?;
        tenant_id.zip(event_id).ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))
    }

    /// `?tenant_id=`, which every call on one tenant has.
    pub(super) fn tenant_id(mut self) -> Result<TenantId, ApiError> {
        let id = self.0.required("tenant_id");
        self.0.finish()?;
        id.ok_or_else(|| ApiError::internal("a required parameter was neither read nor refused"))
    }
}
