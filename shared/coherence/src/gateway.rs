//! The gateway's side: the lease under which its cache may be used, and fetches that race changes.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    changes::{Changes, Revision},
    time::{Millis, shortened},
};

/// Leave to use the cache, and how far the gateway has followed the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The cache may be used before this; 0 where there is no lease.
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
    /// Whether the cache may be used.
    #[must_use]
    pub fn is_held(&self, now: Millis) -> bool {
        now < self.until
    }

    /// Before when the cache may be used; 0 where there is no lease.
    #[must_use]
    pub fn until(&self) -> Millis {
        self.until
    }

    /// When the asking under way was sent; 0 where none is.
    #[must_use]
    pub fn asked_at(&self) -> Millis {
        self.asked.map_or(0, |(_, sent)| sent)
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

    /// Whether `changes` follow on what was seen. If so: drop what they name from the cache, [`SingleFlight::invalidate`] it, close
    /// the sockets they forbid, and only then call [`Lease::applied`] and acknowledge. If not, something was lost in
    /// between: ask again.
    #[must_use]
    pub fn follows<K>(&self, changes: &Changes<K>) -> bool {
        changes.after <= self.seen
    }

    /// The changes were applied: everything up to `through` may be acknowledged. After a start-over what was seen before
    /// counts for nothing: it may have been another directory's, with revisions of its own.
    pub fn applied<K>(&mut self, changes: &Changes<K>) {
        self.seen = if changes.keys.is_none() { changes.through } else { self.seen.max(changes.through) };
    }

    /// The answer to an asking, whose changes were applied before. It counts from when the asking was *sent*: the
    /// replica's reading came after that, and nothing is known of when. Answers whether it was the asking under way.
    pub fn granted(&mut self, id: u64, ttl_ms: u64) -> bool {
        match self.asked {
            Some((asked, sent)) if asked == id => {
                self.asked = None;
                self.until = self.until.max(sent + shortened(ttl_ms));
                true
            }
            _ => false,
        }
    }

    /// Promises never to use the cache again, whatever is still under way: then nobody needs to wait for this gateway.
    pub fn give_up(&mut self) {
        (self.until, self.asked) = (0, None);
    }
}

/// How a request for a key that is not cached gets its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// The caller must fetch, under this ticket. All who join get its answer.
    Lead(Ticket),
    /// By the fetch under way.
    Follow(Ticket),
    /// By a fetch of its own, whose reply is not cached: without a lease a change may have returned unheard of, and a
    /// fetch that began before it must not answer a request that began after.
    Alone,
}

/// A fetch's name. No two fetches have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// It may be cached, and answers everybody who joined.
    Keep,
    /// It was read before a change that has arrived since: fetch again under the same ticket, for everybody who joined.
    Repeat,
    /// Nobody waits for it any more, and nobody may use it.
    Discard,
}

/// Fetches under way, one per key however many wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SingleFlight<K: Ord> {
    flights: BTreeMap<K, Flight>,
    pub(super) next_ticket: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    ticket: Ticket,
    /// The revision a reply must have been read at, at least.
    least: Revision,
    /// Whether the next reply is of no use, whatever its revision.
    from_before: bool,
}

impl<K: Ord> Default for SingleFlight<K> {
    fn default() -> Self {
        Self { flights: BTreeMap::new(), next_ticket: 0 }
    }
}

impl<K: Ord + Clone> SingleFlight<K> {
    /// How a request that begins now is answered. Decide it, and read the cache, under one lock and in this order: first
    /// whether the lease is held, then what is cached, then this.
    pub fn join(&mut self, key: K, lease: &Lease, now: Millis) -> Joining {
        if !lease.is_held(now) {
            return Joining::Alone;
        }
        match self.flights.entry(key) {
            Entry::Occupied(flight) => Joining::Follow(flight.get().ticket),
            Entry::Vacant(place) => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                place.insert(Flight { ticket, least: lease.seen(), from_before: false });
                Joining::Lead(ticket)
            }
        }
    }

    /// Replies read before `through` no longer count, for the keys that changed. At a start-over no reply under way does:
    /// revisions may have begun again.
    pub fn invalidate(&mut self, changes: &Changes<K>) {
        match &changes.keys {
            Some(keys) => {
                for key in keys {
                    if let Some(flight) = self.flights.get_mut(key) {
                        flight.least = flight.least.max(changes.through);
                    }
                }
            }
            None => {
                for flight in self.flights.values_mut() {
                    (flight.least, flight.from_before) = (changes.through, true);
                }
            }
        }
    }

    /// A reply that was read at `revision` has come. After [`FetchOutcome::Repeat`] the flight goes on: fetch again.
    pub fn land(&mut self, key: &K, ticket: Ticket, revision: Revision) -> FetchOutcome {
        let Some(flight) = self.flights.get_mut(key).filter(|flight| flight.ticket == ticket) else {
            return FetchOutcome::Discard;
        };
        if std::mem::take(&mut flight.from_before) || revision < flight.least {
            return FetchOutcome::Repeat;
        }
        self.flights.remove(key);
        FetchOutcome::Keep
    }

    /// The fetch failed: the requests that joined it fail too, and the next request begins a new fetch. Answers whether it was under way.
    pub fn abandon(&mut self, key: &K, ticket: Ticket) -> bool {
        let under_way = self.flights.get(key).is_some_and(|flight| flight.ticket == ticket);
        if under_way {
            self.flights.remove(key);
        }
        under_way
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
        let mut lease = Lease::default();
        assert!(!lease.is_held(0));
        let asking = lease.ask(5_000);
        lease.granted(asking.id, 10_000);
        assert!(lease.is_held(14_899) && !lease.is_held(14_900));
    }

    #[test]
    fn an_answer_to_an_asking_that_was_given_up_grants_nothing() {
        let mut lease = Lease::default();
        let (old, new) = (lease.ask(0), lease.ask(9_000));
        assert!(!lease.granted(old.id, 10_000) && !lease.is_held(9_001));
        assert!(lease.granted(new.id, 10_000) && !lease.granted(new.id, 20_000));
        assert!(lease.is_held(18_899) && !lease.is_held(18_900));
        let last = lease.ask(9_500);
        lease.give_up();
        assert!(!lease.is_held(9_501) && !lease.granted(last.id, 10_000), "given up is given up");
    }

    #[test]
    fn changes_that_do_not_follow_are_not_applied() {
        let mut lease = Lease::default();
        assert!(lease.follows(&changes(0, 3, &[1])));
        lease.applied(&changes(0, 3, &[1]));
        assert!(lease.follows(&changes(2, 4, &[1])) && !lease.follows(&changes(4, 5, &[1])));
        lease.applied(&changes(1, 2, &[1]));
        assert_eq!(lease.seen(), 3, "what was seen stays seen");
        lease.applied(&Changes::<u8> { after: 0, through: 2, keys: None });
        assert_eq!(lease.seen(), 2, "but not in another directory");
    }

    fn held() -> Lease {
        let mut lease = Lease::default();
        let asking = lease.ask(0);
        lease.granted(asking.id, 10_000);
        lease
    }

    fn lead(flights: &mut SingleFlight<u8>, key: u8, lease: &Lease) -> Ticket {
        match flights.join(key, lease, 0) {
            Joining::Lead(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_invalidated_fetch_is_repeated_until_it_is_new_enough() {
        let (mut flights, lease) = (SingleFlight::default(), held());
        let (one, two) = (lead(&mut flights, 1, &lease), lead(&mut flights, 2, &lease));
        assert_eq!(flights.join(1, &lease, 0), Joining::Follow(one));
        flights.invalidate(&changes(6, 7, &[1]));
        assert_eq!(flights.land(&2, two, 6), FetchOutcome::Keep);
        assert_eq!(flights.land(&1, one, 6), FetchOutcome::Repeat);
        assert_eq!(flights.join(1, &lease, 0), Joining::Follow(one), "those who wait go on waiting");
        assert_eq!(flights.land(&1, one, 7), FetchOutcome::Keep);
        let three = lead(&mut flights, 3, &lease);
        flights.invalidate(&Changes { after: 0, through: 9, keys: None });
        assert_eq!(flights.land(&3, three, 10), FetchOutcome::Repeat, "of another directory, for all one knows");
        assert_eq!(flights.land(&3, three, 8), FetchOutcome::Repeat);
        assert_eq!(flights.land(&3, three, 9), FetchOutcome::Keep);
    }

    #[test]
    fn a_reply_nobody_waits_for_is_nobodys() {
        let (mut flights, mut lease) = (SingleFlight::default(), held());
        let late = lead(&mut flights, 1, &lease);
        assert!(flights.abandon(&1, late) && !flights.abandon(&1, late));
        lease.applied(&changes(0, 5, &[]));
        assert_eq!(flights.land(&1, late, 9), FetchOutcome::Discard);
        let next = lead(&mut flights, 1, &lease);
        assert_eq!(flights.land(&1, late, 9), FetchOutcome::Discard, "another fetch's ticket");
        assert_eq!(flights.land(&1, next, 4), FetchOutcome::Repeat, "older than what has been seen");
        assert_eq!(flights.land(&1, next, 5), FetchOutcome::Keep);
        assert_eq!(flights.land(&1, next, 5), FetchOutcome::Discard, "it has landed");
    }

    #[test]
    fn without_a_lease_everybody_asks_alone() {
        let (mut flights, lease) = (SingleFlight::default(), held());
        lead(&mut flights, 1, &lease);
        assert_eq!(flights.join(1, &lease, 9_900), Joining::Alone);
        assert_eq!(flights.join(2, &Lease::default(), 0), Joining::Alone);
    }
}
