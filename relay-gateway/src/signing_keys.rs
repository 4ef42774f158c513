//! The public keys of tokens: for visitors' tokens here, and for chat backends at `/.well-known/jwks.json`.
//!
//! Strangers make us look at them, so answers are kept: their curiosity must not become the admin service's load. Keys are
//! only ever added, so those once fetched stay right while the admin service is away.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proto::identity::v1::{GetSigningKeysRequest, identity_client::IdentityClient};
use shared::{ApiError, request_id::RequestId};
use tokio::task::JoinHandle;

use crate::{
    admin_client::AdminClient,
    domain::token::{Keyring, Refused, VisitorToken},
};

/// How long keys are served before they are asked for again.
const KEYS_KEPT: Duration = Duration::from_secs(60);
/// How long it is believed that the admin service does not answer.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// How long it is believed that there is no newer key than those that are kept.
const UNKNOWN_KEY_KEPT: Duration = Duration::from_secs(5);

/// The keys, and whether the admin service answered when it was last asked.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    admin: AdminClient,
    kept: Arc<Mutex<Kept>>,
    /// Held while asking: of many who come at once, one asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// The keys in the two forms they are wanted in.
pub(crate) struct Published {
    /// A JSON Web Key Set (RFC 7517).
    pub(crate) jwks: String,
    ring: Keyring,
}

#[derive(Clone, Default)]
struct Kept {
    keys: Option<Arc<Published>>,
    asked: Option<Instant>,
    failed: Option<ApiError>,
}

impl Kept {
    fn is_fresh(&self, fresh_for: Duration) -> bool {
        self.asked.is_some_and(|at| at.elapsed() < fresh_for)
    }
}

impl SigningKeys {
    pub(crate) fn new(admin: AdminClient) -> Self {
        Self { admin, kept: Arc::default(), asking: Arc::default() }
    }

    fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys: those that are kept at once, while newer ones are asked for behind the caller's back.
    pub(crate) async fn get(&self) -> Result<Arc<Published>, ApiError> {
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

    /// Whose session a token opens; `None` where it is none of ours.
    ///
    /// # Errors
    /// As [`SigningKeys::get`].
    pub(crate) async fn verify(&self, token: &str) -> Result<Option<VisitorToken>, ApiError> {
        match self.get().await?.ring.verify(token) {
            Ok(verified) => Ok(Some(verified)),
            Err(Refused::Invalid) => Ok(None),
            Err(Refused::UnknownKey) => {
                // It may be newer than what is kept; strangers who name keys make us ask once in a while, and no more.
                self.refresh(UNKNOWN_KEY_KEPT).await.map_err(ApiError::internal)?;
                Ok(self.get().await?.ring.verify(token).ok())
            }
        }
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
            let read = answer.and_then(|answer| {
                let ring = Keyring::read(&answer.jwks_json).map_err(ApiError::internal)?;
                Ok(Published { jwks: answer.jwks_json, ring })
            });
            kept.failed = match read {
                Ok(keys) => {
                    kept.keys = Some(Arc::new(keys));
                    None
                }
                Err(error) => Some(error),
            };
        })
    }
}
