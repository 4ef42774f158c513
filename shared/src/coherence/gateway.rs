//! The gateway's side: the lease under which its cache may be used, and fetches that race changes.

use std::collections::BTreeMap;

use super::{Changes, DRIFT_PERCENT, Millis, Revision};

/// Leave to use the cache, and how far the gateway has followed the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    ttl_ms: u64,
    /// The cache may be used before this; 0 where there was never a lease.
    pub(super) until: Millis,
    /// The asking under way: its number, and when it was sent.
    pub(super) asked: Option<(u64, Millis)>,
    next_ask: u64,
    seen: Revision,
}

/// An asking to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asking {
    /// Its number, which the answer repeats.
    pub id: u64,
    /// Up to where this gateway has followed the directory.
    pub seen: Revision,
}

impl Lease {
    /// None yet.
    #[must_use]
    pub fn none(ttl_ms: u64) -> Self {
        Self { ttl_ms, until: 0, asked: None, next_ask: 0, seen: 0 }
    }

    /// Whether the cache may be used.
    #[must_use]
    pub fn is_held(&self, now: Millis) -> bool {
        now < self.until
    }

    /// Up to where the gateway has followed the directory.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.seen
    }

    /// Asks for a lease. An asking before it that is still unanswered is given up.
    pub fn ask(&mut self, now: Millis) -> Asking {
        let id = self.next_ask;
        self.next_ask += 1;
        self.asked = Some((id, now));
        Asking { id, seen: self.seen }
    }

    /// Whether `changes` follow on what was seen. If so: drop what they name from the cache, [`Flights::poison`] it, close
    /// the sockets they forbid, and only then call [`Lease::applied`] and acknowledge. If not, something was lost in
    /// between: ask again.
    #[must_use]
    pub fn follows<K>(&self, changes: &Changes<K>) -> bool {
        changes.after <= self.seen
    }

    /// The changes were applied: everything up to `through` may be acknowledged.
    pub fn applied(&mut self, through: Revision) {
        self.seen = self.seen.max(through);
    }

    /// The answer to an asking, whose changes were applied before. It counts from when the asking was *sent*: the
    /// replica's reading came after that, and nothing is known of when.
    pub fn granted(&mut self, id: u64) {
        if let Some((asked, sent)) = self.asked
            && asked == id
        {
            self.asked = None;
            let usable = self.ttl_ms - self.ttl_ms * DRIFT_PERCENT / 100;
            self.until = self.until.max(sent + usable);
        }
    }
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// It may be cached, and answers everybody who waited for it.
    Keep,
    /// It was read before a change that has arrived since: fetch again, for everybody who waits.
    Repeat,
}

/// Fetches under way, one per key however many wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flights<K: Ord> {
    /// The revision a reply must have been read at, at least.
    flights: BTreeMap<K, Revision>,
}

impl<K: Ord> Default for Flights<K> {
    fn default() -> Self {
        Self { flights: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Flights<K> {
    /// Joins the fetch of a key. `true` where there was none: the caller is to make it.
    pub fn join(&mut self, key: K) -> bool {
        match self.flights.entry(key) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(flight) => {
                flight.insert(0);
                true
            }
        }
    }

    /// Replies read before `through` no longer count, for the keys that changed.
    pub fn poison(&mut self, changes: &Changes<K>) {
        let through = changes.through;
        match &changes.keys {
            Some(keys) => {
                for key in keys {
                    if let Some(least) = self.flights.get_mut(key) {
                        *least = through.max(*least);
                    }
                }
            }
            None => self.flights.values_mut().for_each(|least| *least = through.max(*least)),
        }
    }

    /// A reply that was read at `revision` has come. After [`Landing::Repeat`] the flight goes on: fetch again.
    pub fn land(&mut self, key: &K, revision: Revision) -> Landing {
        match self.flights.get(key) {
            Some(least) if revision < *least => Landing::Repeat,
            _ => {
                self.flights.remove(key);
                Landing::Keep
            }
        }
    }

    /// The fetch failed: whoever waits is told so, and the next to ask begins anew.
    pub fn abandon(&mut self, key: &K) {
        self.flights.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(after: Revision, through: Revision, keys: &[u8]) -> Changes<u8> {
        Changes { after, through, keys: Some(keys.to_vec()) }
    }

    #[test]
    fn a_lease_counts_from_its_asking_less_the_drift() {
        let mut lease = Lease::none(10_000);
        assert!(!lease.is_held(0));
        let asking = lease.ask(5_000);
        lease.granted(asking.id);
        assert!(lease.is_held(14_899) && !lease.is_held(14_900));
    }

    #[test]
    fn an_answer_to_an_asking_that_was_given_up_grants_nothing() {
        let mut lease = Lease::none(10_000);
        let (old, new) = (lease.ask(0), lease.ask(9_000));
        lease.granted(old.id);
        assert!(!lease.is_held(9_001));
        lease.granted(new.id);
        lease.granted(new.id);
        assert!(lease.is_held(18_000));
    }

    #[test]
    fn changes_that_do_not_follow_are_not_applied() {
        let mut lease = Lease::none(10_000);
        assert!(lease.follows(&changes(0, 3, &[1])));
        lease.applied(3);
        assert!(lease.follows(&changes(2, 4, &[1])) && !lease.follows(&changes(4, 5, &[1])));
        lease.applied(2);
        assert_eq!(lease.seen(), 3, "what was seen stays seen");
    }

    #[test]
    fn a_poisoned_fetch_is_repeated_until_it_is_new_enough() {
        let mut flights = Flights::default();
        assert!(flights.join(1) && !flights.join(1) && flights.join(2));
        flights.poison(&changes(6, 7, &[1]));
        assert_eq!(flights.land(&2, 6), Landing::Keep);
        assert_eq!(flights.land(&1, 6), Landing::Repeat);
        assert!(!flights.join(1), "those who wait go on waiting");
        assert_eq!(flights.land(&1, 7), Landing::Keep);
        flights.join(3);
        flights.poison(&Changes { after: 0, through: 9, keys: None });
        assert_eq!(flights.land(&3, 8), Landing::Repeat);
        flights.abandon(&3);
        assert!(flights.join(3));
    }
}
