//! How a committed change reaches every gateway before its caller hears of it: leases granted and pushed to
//! ([`watcher`]), the history followed ([`feed`]), the other replicas heard and told ([`replicas`]).
//!
//! Why it is right is in [`shared::coherence`], whose machines this drives; here are the clock, the database, the waiting.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use shared::{
    coherence::replica::{Leases, Propagation as Spreading},
    time::since_boot_ms,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{Position, PropagationStore, StoreError};

mod feed;
mod metrics;
mod replicas;
mod watcher;

use feed::Feed;
pub(crate) use metrics::PropagationMetrics;
pub(crate) use watcher::{FromGateway, GatewayId, ToGateway};

/// The longest lease that can be configured, in milliseconds: callers of a change give up after half a minute.
pub(crate) const LONGEST_LEASE_MS: u64 = 25_000;

/// How a change reached the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Gateways that could have used what was true before.
    pub(crate) gateways: usize,
    /// Those of them that acknowledged.
    pub(crate) acknowledged: usize,
    /// From the commit until it was true everywhere.
    pub(crate) waited: Duration,
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
    /// Moved whenever something may have come that a change waits for.
    progress: watch::Sender<()>,
    /// Changes that wait.
    waiting: watch::Sender<usize>,
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
            progress: watch::Sender::new(()),
            waiting: watch::Sender::new(0),
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
            _ = async { tokio::join!(inner.follow(), inner.report(), inner.keep_registered()) } => {}
        }
        inner.retire().await;
    }

    /// Ends every stream, once no change waits for what comes down one of them, or `patience` is over. Leases go on until
    /// they run out.
    pub(crate) async fn close(&self, patience: Duration) {
        let mut waiting = self.0.waiting.subscribe();
        let _ = timeout(patience, waiting.wait_for(|count| *count == 0)).await;
        self.0.closing.cancel();
    }

    /// Has gateways told of a change that none of them can have cached anything of, without waiting for them.
    pub(crate) fn announce(&self) {
        self.0.feed.wake();
    }

    /// Waits until the change that was committed as `revision` is true on every gateway: milliseconds in health, and at
    /// most a lease. Call it right after the commit.
    pub(crate) async fn spread(&self, revision: u64) -> Spread {
        let inner = &*self.0;
        let (committed, started) = (since_boot_ms(), Instant::now());
        inner.waiting.send_modify(|count| *count += 1);
        let _leaving = Leaving(&inner.waiting);
        let mut progress = inner.progress.subscribe();
        inner.feed.wake();

        // Who could have used the old state, and who has said not to, whichever replica they said it to.
        let mut holders: BTreeSet<GatewayId> =
            inner.leases().standing(u64::MAX, committed).silent.into_iter().collect();
        let (mut acknowledged, mut silent_elsewhere) = (BTreeSet::new(), 0);
        let mut spreading: Option<Spreading<Uuid>> = None;
        loop {
            // Read after the commit, and again while another replica's word is missing.
            let needs_word = spreading.as_ref().is_none_or(|it| it.waits_for_others(&inner.incarnation));
            let patience = spreading.as_ref().map_or(committed + LONGEST_LEASE_MS, Spreading::deadline);
            let patience = Duration::from_millis(patience.saturating_sub(since_boot_ms()));
            if needs_word && let Ok(Ok(replicas)) = timeout(patience, inner.store.replicas()).await {
                let spreading = spreading.get_or_insert_with(|| {
                    let longest =
                        replicas.iter().map(|replica| replica.lease_ms).fold(as_millis(inner.lease), u64::max);
                    let registered = replicas.iter().map(|replica| replica.registration.incarnation);
                    Spreading::begin(revision, committed, longest, registered)
                });
                let registered: Vec<Uuid> = replicas.iter().map(|replica| replica.registration.incarnation).collect();
                spreading.registered(&registered);
                silent_elsewhere = 0;
                for replica in &replicas {
                    let incarnation = replica.registration.incarnation;
                    if incarnation != inner.incarnation && replica.done >= revision {
                        spreading.done(&incarnation, replica.done);
                        Inner::hear(&mut inner.leases(), replica);
                        acknowledged.extend(replica.acknowledged.iter().copied());
                        silent_elsewhere += replica.silent;
                    }
                }
            }
            let now = since_boot_ms();
            let deadline = match &mut spreading {
                Some(spreading) => {
                    if inner.leases().is_done(revision, now) {
                        spreading.done(&inner.incarnation, revision);
                    }
                    if spreading.is_over(now) {
                        break;
                    }
                    spreading.deadline()
                }
                // Who may have granted leases cannot be read. Beyond the longest there are, it need not be.
                None if now >= committed + LONGEST_LEASE_MS => break,
                None => committed + LONGEST_LEASE_MS,
            };
            let pause = inner.look_every().min(Duration::from_millis(deadline - now));
            // Whether it moved or the pause is over, the next round looks.
            let _ = timeout(pause, progress.changed()).await;
        }
        let own = inner.leases().standing(revision, committed).acknowledged;
        acknowledged.extend(own.into_iter().filter(|gateway| holders.contains(gateway)));
        holders.extend(&acknowledged);
        let spread = Spread {
            gateways: holders.len() + silent_elsewhere as usize,
            acknowledged: acknowledged.len(),
            waited: started.elapsed(),
        };
        inner.metrics.spread(&spread, spreading.is_some_and(|spreading| spreading.waits_for_anybody()));
        spread
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
    async fn changes_after(
        &self,
        position: Option<Position>,
    ) -> Result<(shared::coherence::Changes<shared::TenantId>, Position), StoreError> {
        self.store.changes_after(position, feed::MOST_CHANGES).await
    }
}

/// Counts a waiting change out, however its waiting ends.
struct Leaving<'a>(&'a watch::Sender<usize>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
