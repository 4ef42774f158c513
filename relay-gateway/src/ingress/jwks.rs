//! `/.well-known/jwks.json`: the public keys of tokens, for chat backends; and with them the readiness probe.
//!
//! Both are public, so answers are kept: a stranger's curiosity must not become the admin service's load. Keys are only
//! ever added, so those once fetched stay right while the admin service is away.

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

/// How long keys are served before they are asked for again.
const KEYS_KEPT: Duration = Duration::from_secs(60);
/// How long it is believed that the admin service answers, or that it does not.
const ANSWER_KEPT: Duration = Duration::from_secs(1);

/// The keys, and whether the admin service answered when it was last asked.
#[derive(Clone)]
pub(super) struct SigningKeys {
    admin: AdminClient,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    keys: Option<Arc<str>>,
    asked: Option<Instant>,
    failed: Option<ApiError>,
}

impl SigningKeys {
    pub(super) fn new(admin: AdminClient) -> Self {
        Self { admin, kept: Arc::default() }
    }

    /// The keys, however old where the admin service is away.
    async fn get(&self, request_id: &RequestId) -> Result<Arc<str>, ApiError> {
        let mut kept = self.kept.lock().await;
        let fresh_for = if kept.failed.is_some() { ANSWER_KEPT } else { KEYS_KEPT };
        self.refresh(&mut kept, fresh_for, request_id).await;
        match (&kept.keys, &kept.failed) {
            (Some(keys), _) => Ok(Arc::clone(keys)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(ApiError::internal("asked for keys, and neither got them nor an error")),
        }
    }

    /// Whether the admin service answers.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut kept = self.kept.lock().await;
        self.refresh(&mut kept, ANSWER_KEPT, &RequestId::generate()).await;
        kept.failed.as_ref().map_or(Ok(()), |error| Err(format!("admin service: {error}")))
    }

    /// Asks, unless what is known is fresh. The lock is held meanwhile: of many who come at once, one asks.
    async fn refresh(&self, kept: &mut Kept, fresh_for: Duration, request_id: &RequestId) {
        if kept.asked.is_some_and(|at| at.elapsed() < fresh_for) {
            return;
        }
        let method = "chatrelay.identity.v1.Identity/GetSigningKeys";
        let answer = self
            .admin
            .call(method, request_id, GetSigningKeysRequest {}, |channel, request| async move {
                IdentityClient::new(channel).get_signing_keys(request).await
            })
            .await;
        kept.asked = Some(Instant::now());
        kept.failed = match answer {
            Ok(keys) => {
                kept.keys = Some(keys.jwks_json.into());
                None
            }
            Err(error) => Some(error),
        };
    }
}

pub(super) fn route<S: Clone + Send + Sync + 'static>(keys: SigningKeys) -> MethodRouter<S> {
    get(move |Extension(request_id): Extension<RequestId>| async move {
        let keys = keys.get(&request_id).await?;
        let headers =
            [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
        Ok::<_, ApiError>((headers, keys.to_string()).into_response())
    })
}
