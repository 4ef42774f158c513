//! One change on its way: it returns when every gateway that could have used what was true before has acknowledged it, or
//! can use it no longer.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use coherence::{LONGEST_LEASE_MS, Millis, Revision, replica::PendingChange};
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;
use wire::time::{as_millis, since_boot_ms};

use super::{GatewayId, Inner, Propagation, feed::Reading};
use crate::store::{AtRevision, StoreError};

/// How a change reached the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PropagationReport {
    /// Gateways that could have used what was true before.
    pub(crate) gateways: u32,
    /// Those of them that acknowledged. The others' leases have run out.
    pub(crate) acknowledged: u32,
    /// From the commit until it was true everywhere.
    pub(crate) waited: Duration,
}

/// What a change has made, true on every gateway.
pub(crate) struct Changed<T> {
    pub(crate) value: T,
    pub(crate) spread: PropagationReport,
}

impl<T> Changed<T> {
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Changed<U> {
        Changed { value: map(self.value), spread: self.spread }
    }
}

impl Propagation {
    /// Makes a change and waits until it is true everywhere. Both go on where the caller leaves meanwhile.
    pub(crate) async fn commit_and_propagate<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<AtRevision<T>, StoreError>> + Send + 'static,
    ) -> Result<Changed<T>, StoreError> {
        let propagation = self.clone();
        let in_flight = propagation.change_begins();
        let seen_through = async move {
            let _until_then = in_flight;
            let AtRevision { value, revision } = change.await.inspect_err(|error| {
                // If it was committed after all, gateways are to hear of it; nobody waits until they have.
                if matches!(error, StoreError::Unknown(_)) {
                    propagation.announce();
                }
            })?;
            let spread = propagation.spread(revision).await;
            Ok(Changed { value, spread })
        };
        let ended = tokio::spawn(seen_through.in_current_span()).await;
        ended.unwrap_or_else(|panicked| Err(StoreError::Broken(panicked.to_string())))
    }

    /// Waits until the change that was committed as `revision` is true on every gateway: milliseconds in health, a lease
    /// where a gateway or a replica says nothing, and the longest lease there can be where the database does not answer.
    /// Call it right after the commit.
    async fn spread(&self, revision: Revision) -> PropagationReport {
        let inner = &*self.0;
        let started = Instant::now();
        let mut progress = inner.progress.subscribe();
        let mut change = PendingPropagation::begin(inner, revision);
        loop {
            change.hear_own();
            change.hear_others().await;
            let now = since_boot_ms();
            if change.is_over(now) {
                break;
            }
            let pause = inner.look_every().min(Duration::from_millis(change.deadline() - now));
            // Whether something came or the pause is over: the next round looks.
            let _ = timeout(pause, progress.changed()).await;
        }
        let spread = change.result(started.elapsed());
        inner.metrics.spread(&spread, change.pending.is_none_or(|pending| pending.waits_for_anybody()));
        spread
    }
}

struct PendingPropagation<'a> {
    inner: &'a Inner,
    revision: Revision,
    committed: Millis,
    /// Whom it waits for; `None` until it was read who is registered.
    pending: Option<PendingChange<Uuid>>,
    /// Who could have used the old state, and who has said not to, whichever replica they said it to.
    holders: BTreeSet<GatewayId>,
    acknowledged: BTreeSet<GatewayId>,
    /// A look at the history that began after the commit.
    reading: Reading,
}

impl<'a> PendingPropagation<'a> {
    fn begin(inner: &'a Inner, revision: Revision) -> Self {
        let committed = since_boot_ms();
        let holders = inner.leases().holders(committed).copied().collect();
        let reading = inner.feed.wake();
        Self { inner, revision, committed, pending: None, holders, acknowledged: BTreeSet::new(), reading }
    }

    /// Takes in who is registered, which is read after the commit, and then how far each of them has come, from looks that
    /// began after it too.
    async fn hear_others(&mut self) {
        let own = self.inner.incarnation;
        let Some(pending) = &mut self.pending else {
            // A database that does not answer must not hold the change beyond its time.
            let patience = Duration::from_millis(self.deadline().saturating_sub(since_boot_ms()));
            let Ok(Ok(replicas)) = timeout(patience, self.inner.store.replicas()).await else { return };
            let longest = replicas.iter().map(|replica| replica.lease_ms).fold(as_millis(self.inner.lease), u64::max);
            let registered = replicas.iter().map(|replica| replica.registration.incarnation).chain([own]);
            self.pending = Some(PendingChange::begin(self.revision, self.committed, longest, registered));
            let others = replicas.iter().filter(|replica| replica.registration.incarnation != own);
            let elsewhere = others.flat_map(|replica| &replica.done.acknowledged);
            self.holders
                .extend(elsewhere.filter(|(_, revision)| *revision < Revision::MAX).map(|(gateway, _)| *gateway));
            return;
        };
        // Before the list is taken: a look that ends in between would vouch for one that is older.
        if !self.inner.feed.has_read(self.reading) {
            return;
        }
        let replicas = Arc::clone(&self.inner.replicas.borrow());
        // If a replica is no longer registered, its leases have ended.
        pending.registered(
            &replicas.iter().map(|replica| replica.registration.incarnation).chain([own]).collect::<Vec<_>>(),
        );
        let others = || replicas.iter().filter(|replica| replica.registration.incarnation != own);
        let told = others().flat_map(|replica| &replica.done.acknowledged);
        let acknowledged = told.filter(|(_, revision)| (self.revision..Revision::MAX).contains(revision));
        self.acknowledged.extend(acknowledged.map(|(gateway, _)| *gateway));
        for replica in others() {
            // Of one that has stopped, all who may hold a lease are known: their word is as good as its.
            let has = |(gateway, revision): &(GatewayId, Revision)| {
                *revision >= self.revision || self.acknowledged.contains(gateway)
            };
            let done = if replica.is_retired && replica.done.acknowledged.iter().all(has) {
                self.revision
            } else {
                replica.done.revision
            };
            pending.done(&replica.registration.incarnation, done);
        }
    }

    /// When it may return, whatever was said. Where it cannot be read who may have granted leases: beyond the longest there
    /// can be.
    fn deadline(&self) -> Millis {
        self.pending.as_ref().map_or(self.committed + LONGEST_LEASE_MS, PendingChange::deadline)
    }

    /// Takes in what gateways have said here.
    fn hear_own(&mut self) {
        let leases = self.inner.leases();
        let holders = &self.holders;
        let acknowledged = leases.acknowledgements().filter(|(gateway, revision)| {
            // That one had given up before is nothing this change was told.
            (self.revision..Revision::MAX).contains(revision) || *revision == Revision::MAX && holders.contains(gateway)
        });
        self.acknowledged.extend(acknowledged.map(|(gateway, _)| *gateway));
        // It counts once it is certain to be of the history that has this change.
        if let Some(pending) = &mut self.pending
            && self.inner.feed.has_read(self.reading)
            && leases.is_done(self.revision, since_boot_ms())
        {
            pending.done(&self.inner.incarnation, self.revision);
        }
    }

    fn is_over(&self, now: Millis) -> bool {
        self.pending.as_ref().map_or(now >= self.deadline(), |pending| pending.is_over(now))
    }

    fn result(&self, waited: Duration) -> PropagationReport {
        let count = |gateways: usize| u32::try_from(gateways).unwrap_or(u32::MAX);
        PropagationReport {
            gateways: count(self.holders.union(&self.acknowledged).count()),
            acknowledged: count(self.acknowledged.len()),
            waited,
        }
    }
}
