//! What the parts of propagation share: the leases, the feed, this replica's registration, and what was last heard of others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use coherence::{Changes, replica::Leases};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::{TenantId, time::as_millis};

use super::{
    feed::{Feed, MOST_CHANGES},
    metrics::PropagationMetrics,
    registration::OwnRegistration,
};
use crate::store::{Position, PropagationStore, Replica, StoreError};

/// A gateway's run: the same on each of its streams, another after a restart.
pub(crate) type GatewayId = Uuid;

/// How long the database may take over anything done here. If its machine is gone, no error comes.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);

/// Gives up on the database after [`DATABASE_PATIENCE`].
pub(super) async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let in_time = timeout(DATABASE_PATIENCE, work).await;
    in_time.unwrap_or_else(|_| Err(StoreError::Unavailable("the database says nothing".to_owned())))
}

/// Why a replica that stops grants nothing any more.
pub(super) fn stopping() -> StoreError {
    StoreError::Unavailable("this replica is stopping".to_owned())
}

/// This replica's part in spreading changes. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Propagation(pub(super) Arc<Inner>);

/// What the parts of propagation share.
pub(super) struct Inner {
    pub(super) store: Arc<dyn PropagationStore>,
    /// Made anew at each start: a replica speaks only for leases that it granted.
    pub(super) incarnation: Uuid,
    pub(super) lease: Duration,
    pub(super) leases: Mutex<Leases<GatewayId>>,
    pub(super) registration: OwnRegistration,
    pub(super) feed: Feed,
    /// The replicas that were registered at the last look, and how far each had come.
    pub(super) replicas: watch::Sender<Arc<[Replica]>>,
    /// Moved whenever something may have come that a change waits for.
    pub(super) progress: watch::Sender<()>,
    /// Changes that are being made, or wait.
    pub(super) in_flight: watch::Sender<usize>,
    /// No lease is granted any more.
    pub(super) closing: CancellationToken,
    pub(super) metrics: PropagationMetrics,
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
            registration: OwnRegistration::default(),
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

    /// Has gateways told of a change that none of them can have cached anything of, without waiting for them.
    pub(crate) fn announce(&self) {
        self.0.feed.wake();
    }

    /// Counts a change that is being made: streams are kept open for it.
    pub(super) fn change_begins(&self) -> InFlight {
        self.0.in_flight.send_modify(|count| *count += 1);
        InFlight(self.clone())
    }
}

/// A change that is being made or waits, counted out however that ends.
pub(super) struct InFlight(Propagation);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.in_flight.send_modify(|count| *count -= 1);
    }
}

impl Inner {
    pub(super) fn leases(&self) -> MutexGuard<'_, Leases<GatewayId>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often to look for what a lost notification would have told.
    pub(super) fn look_every(&self) -> Duration {
        (self.lease / 20).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    /// What changed after `position`, as of now.
    pub(super) async fn changes_after(
        &self,
        position: Option<Position>,
    ) -> Result<(Changes<TenantId>, Position), StoreError> {
        self.store.changes_after(position, MOST_CHANGES).await
    }
}
