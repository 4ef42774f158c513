//! `/.well-known/jwks.json`: the public keys of tokens, for chat backends. It is public, so answers are kept a while:
//! keys are only ever added, and a stranger's curiosity must not become the admin service's load.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use http::header;
use proto::identity::v1::{GetSigningKeysRequest, identity_client::IdentityClient};
use shared::{ApiError, request_id::RequestId};
use tokio::sync::Mutex;

use crate::admin_client::AdminClient;

/// When an answer was fetched, and what it was.
type Kept = (Instant, Arc<str>);

const KEPT: Duration = Duration::from_secs(60);

pub(super) async fn fetch(admin: &AdminClient, request_id: &RequestId) -> Result<String, ApiError> {
    let keys = admin
        .call(
            "chatrelay.identity.v1.Identity/GetSigningKeys",
            request_id,
            GetSigningKeysRequest {},
            |channel, request| async move { IdentityClient::new(channel).get_signing_keys(request).await },
        )
        .await?;
    Ok(keys.jwks_json)
}

pub(super) fn route<S: Clone + Send + Sync + 'static>(admin: AdminClient) -> MethodRouter<S> {
    let kept: Arc<Mutex<Option<Kept>>> = Arc::default();
    get(move |Extension(request_id): Extension<RequestId>| async move {
        // Held while asking: of many who come at once, one asks.
        let mut kept = kept.lock().await;
        let jwks = match &*kept {
            Some((at, jwks)) if at.elapsed() < KEPT => Arc::clone(jwks),
            _ => {
                let jwks: Arc<str> = fetch(&admin, &request_id).await?.into();
                *kept = Some((Instant::now(), Arc::clone(&jwks)));
                jwks
            }
        };
        let headers =
            [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
        Ok::<_, ApiError>((headers, jwks.to_string()).into_response())
    })
}
