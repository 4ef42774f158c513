//! A change: committed, then propagated. It returns when every gateway that could have used the old state has acknowledged the change,
//! or its lease has run out.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use coherence::{LONGEST_LEASE_MS, Millis, Revision, replica::PendingChange};
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;
use wire::time::{as_millis, since_boot_ms};

use super::{
    feed::Reading,
    holders::is_gateway,
    report::{Changed, PropagationReport},
    state::{GatewayId, Inner, Propagation},
};
use crate::store::{AtRevision, StoreError};

impl Propagation {
    /// Commits a change, then propagates it: returns when the change is true on every gateway. If the caller leaves meanwhile, both
    /// go on.
    pub(crate) async fn commit_and_propagate<T: Send + 'static>(
        &self,
        commit: impl Future<Output = Result<AtRevision<T>, StoreError>> + Send + 'static,
    ) -> Result<Changed<T>, StoreError> {
        let this = self.clone();
        let in_flight = this.change_begins();
        let both = async move {
            let _until_then = in_flight;
            let AtRevision { value, revision } = this.commit(commit).await?;
            let report = this.propagate(revision).await;
            Ok(Changed { value, report })
        };
        let ended = tokio::spawn(both.in_current_span()).await;
        ended.unwrap_or_else(|panicked| Err(StoreError::Broken(panicked.to_string())))
    }

    /// Commits a change, and waits up to `wait` until it is true on every gateway; as long as it takes where `wait` is `None`. Answers
    /// what the change made, and whether it is true everywhere.
    ///
    /// # Errors
    /// The change's; [`StoreError::Unknown`] where it is still being made when the wait is over.
    pub(crate) async fn commit_within<T: Clone + Send + Sync + 'static>(
        &self,
        commit: impl Future<Output = Result<AtRevision<T>, StoreError>> + Send + 'static,
        wait: Option<Duration>,
    ) -> Result<(T, bool), StoreError> {
        let made = Arc::new(OnceLock::new());
        let note = Arc::clone(&made);
        let everywhere = self.commit_and_propagate(async move {
            let changed = commit.await?;
            let _ = note.set(changed.value.clone());
            Ok(changed)
        });
        let Some(wait) = wait else { return Ok((everywhere.await?.value, true)) };
        match timeout(wait, everywhere).await {
            Ok(changed) => Ok((changed?.value, true)),
            Err(_) => match made.get() {
                Some(value) => Ok((value.clone(), false)),
                None => Err(StoreError::Unknown("the change is still being made".to_owned())),
            },
        }
    }

    /// Commits a change. If the answer was lost, the change may be committed: gateways are told, and no caller waits for them.
    async fn commit<T>(
        &self,
        commit: impl Future<Output = Result<AtRevision<T>, StoreError>>,
    ) -> Result<AtRevision<T>, StoreError> {
        commit.await.inspect_err(|error| {
            if matches!(error, StoreError::Unknown(_)) {
                self.announce();
            }
        })
    }

    /// Waits until the change that was committed as `revision` is true on every gateway. In health that takes milliseconds. If a
    /// gateway or a replica is silent, it takes one lease. If the database does not answer, it takes the longest lease that can be
    /// set. Call it right after the commit: the lease counts from this call.
    async fn propagate(&self, revision: Revision) -> PropagationReport {
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
            // Either there is news or the pause is over: the next round looks.
            let _ = timeout(pause, progress.changed()).await;
        }
        let report = change.result(started.elapsed());
        inner.metrics.propagated(&report, change.pending.is_none_or(|pending| pending.waits_for_anybody()));
        report
    }
}

struct PendingPropagation<'a> {
    inner: &'a Inner,
    revision: Revision,
    committed: Millis,
    /// The replicas that it waits for; `None` until the registrations were read.
    pending: Option<PendingChange<Uuid>>,
    /// The gateways that could have used the old state, and those that have acknowledged the new one, at any replica.
    holders: BTreeSet<GatewayId>,
    acknowledged: BTreeSet<GatewayId>,
    /// A reading of the history that begins after the commit, and so contains this change.
    reading: Reading,
}

impl<'a> PendingPropagation<'a> {
    fn begin(inner: &'a Inner, revision: Revision) -> Self {
        let committed = since_boot_ms();
        let holders = inner.leases().holders(committed).copied().collect();
        let reading = inner.feed.wake();
        Self { inner, revision, committed, pending: None, holders, acknowledged: BTreeSet::new(), reading }
    }

    /// First reads which replicas are registered; once that is known, later calls take in how far each replica has come. Both use only
    /// what was read after the commit: an older list could lack a replica whose gateways use the old state.
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
        // Checked before the list is taken: a look that ends in between would vouch for an older list.
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
            // A replica that has stopped has named every gateway that may hold one of its leases: if those have acknowledged the
            // change, the replica is done.
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

    /// The time at which the wait ends at the latest. While the registrations are not read, any replica may have granted the longest
    /// lease that can be set.
    fn deadline(&self) -> Millis {
        self.pending.as_ref().map_or(self.committed + LONGEST_LEASE_MS, PendingChange::deadline)
    }

    /// Takes in what gateways have acknowledged to this replica.
    fn hear_own(&mut self) {
        let leases = self.inner.leases();
        let holders = &self.holders;
        let acknowledged = leases.acknowledgements().filter(|(gateway, revision)| {
            // `Revision::MAX` means that the gateway gave its lease up. It counts as an acknowledgement only if the gateway held a
            // lease when this wait began: otherwise nobody told the gateway of the change.
            (self.revision..Revision::MAX).contains(revision) || *revision == Revision::MAX && holders.contains(gateway)
        });
        self.acknowledged.extend(acknowledged.map(|(gateway, _)| *gateway));
        // Ask about this replica's leases only after it has read the change: a lease that it grants later then carries the change.
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
            gateways: count(self.holders.union(&self.acknowledged).filter(|id| is_gateway(id)).count()),
            acknowledged: count(self.acknowledged.iter().filter(|id| is_gateway(id)).count()),
            waited,
        }
    }
}
