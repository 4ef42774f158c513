//! The replica's side: whom it has leased to, and when a change is everywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{Millis, Revision};

/// The leases one incarnation of a replica has granted. An incarnation is made at each start: a replica that restarts
/// knows nothing of the leases the one before it gave, and must not speak for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leases<G: Ord> {
    ttl_ms: u64,
    /// Until when the other replicas know of this one; it must outlive every lease.
    registered_until: Millis,
    gateways: BTreeMap<G, Granted>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Granted {
    /// No lease of the gateway's goes on after this.
    until: Millis,
    acknowledged: Revision,
}

impl<G: Ord> Leases<G> {
    /// None granted, and not registered.
    #[must_use]
    pub fn none(ttl_ms: u64) -> Self {
        Self { ttl_ms, registered_until: 0, gateways: BTreeMap::new() }
    }

    /// The registration was written to the database and lasts until then. It is written *before* the reading that a
    /// grant rests on: a change that does not see the registration is seen by the reading.
    pub fn registered(&mut self, until: Millis) {
        self.registered_until = self.registered_until.max(until);
    }

    /// A gateway asks. From now on it counts as leased, whatever becomes of the answer: it counts from when it sent the
    /// asking, which was before, so its lease ends before `now` plus the TTL. `false` where the registration would not
    /// outlive the lease: register first, then take the asking again.
    #[must_use]
    pub fn asked(&mut self, gateway: G, seen: Revision, now: Millis) -> bool {
        let until = now + self.ttl_ms;
        if self.registered_until < until {
            return false;
        }
        let granted = self.gateways.entry(gateway).or_default();
        granted.until = granted.until.max(until);
        granted.acknowledged = granted.acknowledged.max(seen);
        true
    }

    /// A gateway has applied everything up to `revision`.
    pub fn acknowledged(&mut self, gateway: &G, revision: Revision) {
        if let Some(granted) = self.gateways.get_mut(gateway) {
            granted.acknowledged = granted.acknowledged.max(revision);
        }
    }

    /// Whether no gateway can use, by a lease of this incarnation's, what was true before `revision`. A stream that closed
    /// ends no lease. Ask only once this replica has read a revision that high: whom it grants to later then sees it.
    #[must_use]
    pub fn is_done(&self, revision: Revision, now: Millis) -> bool {
        self.gateways.values().all(|granted| granted.until <= now || granted.acknowledged >= revision)
    }

    /// Forgets gateways whose leases have run out.
    pub fn forget_ended(&mut self, now: Millis) {
        self.gateways.retain(|_, granted| granted.until > now);
    }
}

/// A committed change on its way to every gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Propagation<I: Ord> {
    revision: Revision,
    deadline: Millis,
    waiting: BTreeSet<I>,
}

impl<I: Ord> Propagation<I> {
    /// `replicas` were registered when read *after* the commit. At `committed` plus the TTL no lease granted on an older
    /// reading is left, whoever granted it.
    pub fn begin(revision: Revision, committed: Millis, ttl_ms: u64, replicas: impl IntoIterator<Item = I>) -> Self {
        Self { revision, deadline: committed + ttl_ms, waiting: replicas.into_iter().collect() }
    }

    /// A replica says that everything up to `revision` is done.
    pub fn done(&mut self, replica: &I, revision: Revision) {
        if revision >= self.revision {
            self.waiting.remove(replica);
        }
    }

    /// Whether the change may return.
    #[must_use]
    pub fn is_over(&self, now: Millis) -> bool {
        self.waiting.is_empty() || now >= self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_done_when_each_gateway_has_acknowledged_or_lost_its_lease() {
        let mut leases = Leases::none(10);
        assert!(!leases.asked("a", 0, 0), "not before it is registered");
        leases.registered(30);
        assert!(leases.is_done(5, 0), "nobody holds a lease");
        assert!(leases.asked("a", 4, 0) && leases.asked("b", 5, 3));
        assert!(!leases.is_done(5, 9), "a has not acknowledged");
        assert!(leases.is_done(5, 10), "its lease has run out");
        assert!(!leases.is_done(6, 12));
        leases.acknowledged(&"b", 6);
        assert!(leases.is_done(6, 12));
        assert!(!leases.asked("a", 6, 21), "the registration must outlive the lease");
        leases.forget_ended(20);
        assert!(leases.is_done(99, 0), "who is forgotten is not waited for");
    }

    #[test]
    fn a_propagation_ends_by_word_of_all_or_by_time() {
        let mut change = Propagation::begin(7, 100, 10, ["r1", "r2"]);
        change.done(&"r1", 7);
        change.done(&"r2", 6);
        assert!(!change.is_over(109) && change.is_over(110));
        change.done(&"r2", 8);
        assert!(change.is_over(100));
        assert!(Propagation::<&str>::begin(7, 100, 10, []).is_over(100), "nobody to wait for");
    }
}
