//! The public keys of tokens: for visitors' tokens here, and for chat backends at `/.well-known/jwks.json`.
//!
//! The gateway keeps the keys for as long as its directory is current, and drops them before it acknowledges a change of keys. So a
//! retired key's tokens are refused from the moment its retirement returns. Where the directory is not current, the gateway asks the
//! admin service. Calls that come at the same time share one request, so that strangers' tokens put no load on the admin service.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use coherence::Changes;
use service::ApiError;
use tokio::task::JoinHandle;
use wire::{TenantId, request_id::RequestId};

use crate::{
    admin::AdminClient,
    directory::{ChangeListener, TenantDirectory},
    domain::token::{Keyring, OperatorToken, Refused, VisitorToken},
};

/// Keys that are older than this are fetched again in the background: an older admin service reports no changes of keys.
const KEYS_KEPT: Duration = Duration::from_secs(60);
/// How long a failed request answers for the ones that follow it.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// A token with an unknown key causes a new request only if the kept keys are older than this.
const UNKNOWN_KEY_KEPT: Duration = Duration::from_secs(5);

/// The keys, and whether the admin service answered when it was last asked. Cloning shares them.
pub(crate) struct SigningKeys<D>(Arc<Inner<D>>);

impl<D> Clone for SigningKeys<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<D> {
    admin: AdminClient,
    directory: D,
    kept: Mutex<Kept>,
    /// Held during a request to the admin service: of many callers at once, one asks.
    asking: tokio::sync::Mutex<()>,
}

/// The keys in the two forms they are wanted in.
pub(crate) struct Published {
    /// A JSON Web Key Set (RFC 7517).
    pub(crate) jwks: String,
    ring: Keyring,
}

#[derive(Default)]
struct Kept {
    /// Counts the changes of keys. An answer to a request from before the last change is not kept.
    changes: u64,
    /// The time at which the keys were requested, and the keys.
    keys: Option<(Instant, Arc<Published>)>,
    failed: Option<(Instant, ApiError)>,
}

impl Kept {
    /// Keys that were asked for then or later.
    fn since(&self, asked: Instant) -> Option<Arc<Published>> {
        self.keys.as_ref().filter(|(at, _)| *at >= asked).map(|(_, keys)| Arc::clone(keys))
    }

    fn failure(&self) -> Option<ApiError> {
        self.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_KEPT).map(|(_, error)| error.clone())
    }
}

impl Published {
    /// Whether the key of this `kid` is among them.
    pub(crate) fn holds(&self, key_id: &str) -> bool {
        self.ring.holds(key_id)
    }
}

impl<D: TenantDirectory> SigningKeys<D> {
    pub(crate) fn new(admin: AdminClient, directory: D) -> Self {
        Self(Arc::new(Inner { admin, directory, kept: Mutex::default(), asking: tokio::sync::Mutex::default() }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys, as they are at some moment after this is called.
    ///
    /// # Errors
    /// Where the kept keys may not be used, and the admin service does not answer.
    pub(crate) async fn get(&self) -> Result<Arc<Published>, ApiError> {
        // The directory first, and the keys second: the keys that a change concerns are dropped before the directory is current again.
        if self.0.directory.still_current() {
            let kept = self.kept().keys.clone();
            if let Some((asked, keys)) = kept {
                // If another caller asks already, do not ask too.
                if asked.elapsed() > KEYS_KEPT && self.kept().failure().is_none() && self.0.asking.try_lock().is_ok() {
                    drop(self.ask(asked + KEYS_KEPT));
                }
                return Ok(keys);
            }
        }
        self.ask(Instant::now()).await.map_err(ApiError::internal)?
    }

    /// What a visitor's token says; `None` where none of the keys signed it, or it is malformed.
    ///
    /// # Errors
    /// As [`SigningKeys::get`].
    pub(crate) async fn verify(&self, token: &str) -> Result<Option<VisitorToken>, ApiError> {
        self.verify_by(|ring| ring.verify(token)).await
    }

    /// The same for an operator's token.
    ///
    /// # Errors
    /// As [`SigningKeys::get`].
    pub(crate) async fn verify_operator(&self, token: &str) -> Result<Option<OperatorToken>, ApiError> {
        self.verify_by(|ring| ring.verify_operator(token)).await
    }

    async fn verify_by<T>(&self, read: impl Fn(&Keyring) -> Result<T, Refused>) -> Result<Option<T>, ApiError> {
        let begun = Instant::now();
        match read(&self.get().await?.ring) {
            Ok(verified) => Ok(Some(verified)),
            Err(Refused::Invalid) => Ok(None),
            Err(Refused::UnknownKey) => {
                // The key may be newer than the kept ones. `UNKNOWN_KEY_KEPT` bounds how often tokens with invented keys make us ask.
                let not_long_ago = begun.checked_sub(UNKNOWN_KEY_KEPT).unwrap_or(begun);
                let keys = self.ask(not_long_ago).await.map_err(ApiError::internal)??;
                Ok(read(&keys.ring).ok())
            }
        }
    }

    /// Fetches the keys, unless another caller has since `not_before`. It runs in a task of its own: if the caller leaves, the next
    /// caller need not ask again.
    fn ask(&self, not_before: Instant) -> JoinHandle<Result<Arc<Published>, ApiError>> {
        let this = self.clone();
        tokio::spawn(async move {
            let _one = this.0.asking.lock().await;
            loop {
                let changes = {
                    let kept = this.kept();
                    if let Some(keys) = kept.since(not_before) {
                        return Ok(keys);
                    }
                    if let Some(error) = kept.failure() {
                        return Err(error);
                    }
                    kept.changes
                };
                let asked = Instant::now();
                let fetched = this.fetch().await;
                let mut kept = this.kept();
                match fetched {
                    Ok(_) if kept.changes != changes => {}
                    Ok(keys) => {
                        (kept.keys, kept.failed) = (Some((asked, Arc::clone(&keys))), None);
                        return Ok(keys);
                    }
                    Err(error) => {
                        kept.failed = Some((Instant::now(), error.clone()));
                        return Err(error);
                    }
                }
            }
        })
    }

    async fn fetch(&self) -> Result<Arc<Published>, ApiError> {
        let jwks = self.0.admin.signing_keys(&RequestId::generate()).await?;
        let ring = Keyring::read(&jwks).map_err(ApiError::internal)?;
        Ok(Arc::new(Published { jwks, ring }))
    }
}

/// Whether a key may have been made or retired.
pub(crate) fn concern_keys(changes: &Changes<TenantId>) -> bool {
    changes.keys.as_ref().is_none_or(|changed| changed.contains(&TenantId::DEPLOYMENT))
}

impl<D: TenantDirectory> ChangeListener for SigningKeys<D> {
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        if concern_keys(changes) {
            let mut kept = self.kept();
            kept.changes += 1;
            // The sockets that are open are judged next: an earlier failure must not close them.
            (kept.keys, kept.failed) = (None, None);
        }
        Box::pin(std::future::ready(()))
    }
}
