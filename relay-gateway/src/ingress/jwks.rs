//! `/.well-known/jwks.json`: the public keys of tokens, for chat backends.
//!
//! It is public, so answers are kept: a stranger's curiosity must not become the admin service's load. Keys are only
//! ever added, so those once fetched stay right while the admin service is away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    response::IntoResponse,
    routing::{MethodRouter, get},
};
use http::header;
use proto::identity::v1::{GetSigningKeysRequest, identity_client::IdentityClient};
use shared::{ApiError, request_id::RequestId};
use tokio::task::JoinHandle;

use crate::admin_client::AdminClient;

/// How long keys are served before they are asked for again.
const KEYS_KEPT: Duration = Duration::from_secs(60);
/// How long it is believed that the admin service does not answer.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// The keys, and whether the admin service answered when it was last asked.
#[derive(Clone)]
pub(super) struct SigningKeys {
    admin: AdminClient,
    kept: Arc<Mutex<Kept>>,
    /// Held while asking: of many who come at once, one asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Default)]
struct Kept {
    keys: Option<Arc<str>>,
    asked: Option<Instant>,
    failed: Option<ApiError>,
}

impl Kept {
    fn is_fresh(&self, fresh_for: Duration) -> bool {
        self.asked.is_some_and(|at| at.elapsed() < fresh_for)
    }
}

impl SigningKeys {
    pub(super) fn new(admin: AdminClient) -> Self {
        Self { admin, kept: Arc::default(), asking: Arc::default() }
    }

    fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys: those that are kept at once, while newer ones are asked for behind the caller's back.
    async fn get(&self) -> Result<Arc<str>, ApiError> {
        let fresh_for = |kept: &Kept| if kept.failed.is_some() { FAILURE_KEPT } else { KEYS_KEPT };
        let kept = self.kept();
        // While somebody asks, those who have keys need not queue for it.
        let is_wanted = !kept.is_fresh(fresh_for(&kept)) && (kept.keys.is_none() || self.asking.try_lock().is_ok());
        let refreshed = is_wanted.then(|| self.refresh(fresh_for(&kept)));
        if let Some(keys) = kept.keys {
            return Ok(keys);
        }
        if let Some(refreshed) = refreshed {
            refreshed.await.map_err(ApiError::internal)?;
        }
        let Kept { keys, failed, .. } = self.kept();
        keys.ok_or_else(|| failed.unwrap_or_else(|| ApiError::internal("neither keys nor an error")))
    }

    /// Asks, unless somebody else has meanwhile. A task of its own: a caller who leaves must not make the next one ask
    /// again.
    fn refresh(&self, fresh_for: Duration) -> JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move {
            let _one = this.asking.lock().await;
            if this.kept().is_fresh(fresh_for) {
                return;
            }
            let method = "chatrelay.identity.v1.Identity/GetSigningKeys";
            let answer = this
                .admin
                .call(method, &RequestId::generate(), GetSigningKeysRequest {}, |channel, request| async move {
                    IdentityClient::new(channel).get_signing_keys(request).await
                })
                .await;
            let mut kept = this.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.asked = Some(Instant::now());
            kept.failed = match answer {
                Ok(keys) => {
                    kept.keys = Some(keys.jwks_json.into());
                    None
                }
                Err(error) => Some(error),
            };
        })
    }
}

pub(super) fn route<S: Clone + Send + Sync + 'static>(keys: SigningKeys) -> MethodRouter<S> {
    get(move || async move {
        let keys = keys.get().await?;
        let headers =
            [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=60")];
        Ok::<_, ApiError>((headers, keys.to_string()).into_response())
    })
}
