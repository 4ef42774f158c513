//! `/.well-known/jwks.json`: the public keys of tokens, for chat backends.

use axum::{
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use http::header;
use service::ApiError;

use crate::{directory::TenantDirectory, signing_keys::SigningKeys};

pub(super) fn route<S, D>(keys: SigningKeys<D>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    D: TenantDirectory,
{
    get(move || async move {
        let jwks = keys.get().await?.jwks.clone();
        let headers =
            [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
        Ok::<_, ApiError>((headers, jwks).into_response())
    })
}
