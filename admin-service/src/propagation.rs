//! How a committed change reaches every gateway before its caller hears of it: leases granted and pushed to
//! ([`watcher`]), the history followed ([`feed`]), the other replicas heard and told ([`replicas`]), and the change itself
//! waiting for all of them ([`spread`]).
//!
//! Why it is right is in [`coherence`], whose machines this drives; here are the clock, the database, the waiting.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coherence::{Changes, replica::Leases};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{TenantId, time::as_millis};

use crate::store::{Position, PropagationStore, Replica, StoreError};

mod feed;
mod metrics;
mod replicas;
mod spread;
mod watcher;

use feed::Feed;
pub(crate) use metrics::PropagationMetrics;
pub(crate) use spread::{Changed, PropagationReport};
pub(crate) use watcher::{FromGateway, GatewayId, ToGateway};

/// How long the database may take over anything done here: where its machine is gone, nobody says so.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);

async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let in_time = timeout(DATABASE_PATIENCE, work).await;
    in_time.unwrap_or_else(|_| Err(StoreError::Unavailable("the database says nothing".to_owned())))
}

/// This replica's part in spreading changes. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Propagation(Arc<Inner>);

struct Inner {
    store: Arc<dyn PropagationStore>,
    /// Made anew at each start: a replica speaks for no leases but its own.
    incarnation: Uuid,
    lease: Duration,
    leases: Mutex<Leases<GatewayId>>,
    registration: replicas::OwnRegistration,
    feed: Feed,
    /// Who was registered, and how far each had come, when last looked.
    replicas: watch::Sender<Arc<[Replica]>>,
    /// Moved whenever something may have come that a change waits for.
    progress: watch::Sender<()>,
    /// Changes that are being made, or wait.
    in_flight: watch::Sender<usize>,
    /// No lease is granted any more.
    closing: CancellationToken,
    metrics: PropagationMetrics,
}

impl Propagation {
    /// Begins where the history is now.
    pub(crate) async fn start(
        store: Arc<dyn PropagationStore>,
        lease: Duration,
        metrics: PropagationMetrics,
    ) -> Result<Self, StoreError> {
        let (_, position) = store.changes_after(None, 0).await?;
        Ok(Self(Arc::new(Inner {
            incarnation: Uuid::new_v4(),
            leases: Mutex::new(Leases::none(as_millis(lease))),
            registration: replicas::OwnRegistration::default(),
            feed: Feed::starting_at(position),
            replicas: watch::Sender::new(Arc::default()),
            progress: watch::Sender::new(()),
            in_flight: watch::Sender::new(0),
            closing: CancellationToken::new(),
            store,
            lease,
            metrics,
        })))
    }

    /// Follows the history and keeps the other replicas posted, until [`Propagation::close`].
    pub(crate) async fn run(&self) {
        let inner = &*self.0;
        tokio::select! {
            () = inner.closing.cancelled() => {}
            _ = async { tokio::join!(inner.follow(), inner.listen(), inner.report(), inner.keep_registered()) } => {}
        }
        inner.retire().await;
    }

    /// Ends every stream, once no change needs what comes down one of them, or `patience` is over. Leases go on until they
    /// run out.
    pub(crate) async fn close(&self, patience: Duration) {
        let mut in_flight = self.0.in_flight.subscribe();
        let _ = timeout(patience, in_flight.wait_for(|count| *count == 0)).await;
        self.0.closing.cancel();
    }

    /// Has gateways told of a change that none of them can have cached anything of, without waiting for them.
    pub(crate) fn announce(&self) {
        self.0.feed.wake();
    }

    /// Counts a change that is being made: streams are kept open for it.
    fn change_begins(&self) -> InFlight {
        self.0.in_flight.send_modify(|count| *count += 1);
        InFlight(self.clone())
    }
}

/// A change that is being made or waits, counted out however that ends.
struct InFlight(Propagation);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.send_modify(|count| *count -= 1);
    }
}

impl Inner {
    fn leases(&self) -> MutexGuard<'_, Leases<GatewayId>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often to look for what a lost notification would have told.
    fn look_every(&self) -> Duration {
        (self.lease / 20).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    /// What changed after `position`, as of now.
    async fn changes_after(&self, position: Option<Position>) -> Result<(Changes<TenantId>, Position), StoreError> {
        self.store.changes_after(position, feed::MOST_CHANGES).await
    }
}
