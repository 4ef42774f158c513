//! One change on its way: it returns when every gateway that could have used what was true before has acknowledged it, or
//! can use it no longer.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    coherence::{LONGEST_LEASE_MS, Millis, Revision, replica::PendingChange},
    time::{as_millis, since_boot_ms},
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{GatewayId, Inner, Propagation, feed::Reading};

/// How a change reached the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// Gateways that could have used what was true before.
    pub(crate) gateways: u32,
    /// Those of them that acknowledged. The others' leases have run out.
    pub(crate) acknowledged: u32,
    /// From the commit until it was true everywhere.
    pub(crate) waited: Duration,
}

impl Propagation {
    /// Waits until the change that was committed as `revision` is true on every gateway: milliseconds in health, a lease
    /// where a gateway or a replica says nothing, and the longest lease there can be where the database does not answer.
    /// Call it right after the commit.
    pub(crate) async fn spread(&self, revision: Revision) -> Spread {
        let inner = &*self.0;
        let started = Instant::now();
        let mut progress = inner.progress.subscribe();
        let mut change = OnItsWay::begin(inner, revision);
        loop {
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

struct OnItsWay<'a> {
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

impl<'a> OnItsWay<'a> {
    fn begin(inner: &'a Inner, revision: Revision) -> Self {
        let committed = since_boot_ms();
        let holders = inner.leases().holders(committed).copied().collect();
        let reading = inner.feed.wake();
        Self { inner, revision, committed, pending: None, holders, acknowledged: BTreeSet::new(), reading }
    }

    /// Takes in who is registered, and how far each of them has come: at first by reading it, which is after the commit, and
    /// then from every look that is taken at them.
    async fn hear_others(&mut self) {
        let own = self.inner.incarnation;
        let replicas = if self.pending.is_some() {
            Arc::clone(&self.inner.replicas.borrow())
        } else {
            // A database that does not answer must not hold the change beyond its time.
            let patience = Duration::from_millis(self.deadline().saturating_sub(since_boot_ms()));
            let Ok(Ok(replicas)) = timeout(patience, self.inner.store.replicas()).await else { return };
            let others = replicas.iter().filter(|replica| replica.registration.incarnation != own);
            let elsewhere = others.flat_map(|replica| &replica.done.acknowledged);
            self.holders
                .extend(elsewhere.filter(|(_, revision)| *revision < Revision::MAX).map(|(gateway, _)| *gateway));
            let longest = replicas.iter().map(|replica| replica.lease_ms).fold(as_millis(self.inner.lease), u64::max);
            let registered = replicas.iter().map(|replica| replica.registration.incarnation).chain([own]);
            self.pending = Some(PendingChange::begin(self.revision, self.committed, longest, registered));
            // What was looked at before the commit says nothing of this change.
            replicas.into()
        };
        let Some(pending) = &mut self.pending else { return };
        if self.inner.feed.has_read(self.reading) {
            // Whoever is no longer registered after the commit has no leases any more.
            let registered: Vec<Uuid> =
                replicas.iter().map(|replica| replica.registration.incarnation).chain([own]).collect();
            pending.registered(&registered);
        }
        for replica in replicas.iter().filter(|replica| replica.registration.incarnation != own) {
            pending.done(&replica.registration.incarnation, replica.done.revision);
            let acknowledged = replica.done.acknowledged.iter().filter(|(_, revision)| *revision >= self.revision);
            self.acknowledged.extend(acknowledged.map(|(gateway, _)| *gateway));
        }
    }

    /// When it may return, whatever was said. Where it cannot be read who may have granted leases: beyond the longest there
    /// can be.
    fn deadline(&self) -> Millis {
        self.pending.as_ref().map_or(self.committed + LONGEST_LEASE_MS, PendingChange::deadline)
    }

    fn is_over(&mut self, now: Millis) -> bool {
        let leases = self.inner.leases();
        let acknowledged = leases.acknowledgements().filter(|(_, revision)| *revision >= self.revision);
        self.acknowledged.extend(acknowledged.map(|(gateway, _)| *gateway));
        let Some(pending) = &mut self.pending else { return now >= self.committed + LONGEST_LEASE_MS };
        // What was acknowledged counts once it is certain to be of the history that has this change.
        if self.inner.feed.has_read(self.reading) && leases.is_done(self.revision, now) {
            pending.done(&self.inner.incarnation, self.revision);
        }
        pending.is_over(now)
    }

    fn result(&self, waited: Duration) -> Spread {
        let count = |gateways: usize| u32::try_from(gateways).unwrap_or(u32::MAX);
        Spread {
            gateways: count(self.holders.len()),
            acknowledged: count(self.holders.intersection(&self.acknowledged).count()),
            waited,
        }
    }
}
