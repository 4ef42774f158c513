//! The replica's side: whom it has leased to, which other replicas may have leased, and when a change is everywhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    changes::Revision,
    time::{Millis, lengthened, shortened},
};

/// The leases one incarnation of a replica has granted. An incarnation is made at each start: a replica that restarts
/// knows nothing of the leases the one before it gave, and must not speak for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leases<G: Ord> {
    ttl_ms: u64,
    /// Until when the other replicas know of this one; it must outlive every lease.
    registered_until: Millis,
    gateways: BTreeMap<G, Granted>,
    owed: BTreeMap<G, Owed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Granted {
    /// No lease of the gateway's goes on after this.
    until: Millis,
    acknowledged: Revision,
}

/// What a gateway was told of and has not acknowledged. Apart from its lease: most gateways owe nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owed {
    /// The first such revision.
    revision: Revision,
    /// When it was told of that.
    since: Millis,
    /// The newest revision it was told of.
    told: Revision,
    /// When it last asked.
    asked: Millis,
    /// Whether it was refused a lease for this.
    was_refused: bool,
}

/// What becomes of an asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Asked {
    /// The gateway counts as leased.
    Granted,
    /// The registration would not outlive the lease: register first, then take the asking again.
    Unregistered,
    /// The gateway has left a change unacknowledged for longer than a lease. It gets no further one until it acknowledges: it
    /// would make every change wait for a whole lease, for ever.
    Silent {
        /// Whether this is the first refusal since it last acknowledged.
        is_news: bool,
    },
}

/// For how many leases after its last asking the replica remembers that a gateway is silent.
const SILENT_KEPT: u64 = 10;

impl Owed {
    fn is_silent(&self, ttl_ms: u64, now: Millis) -> bool {
        self.since + ttl_ms < now
    }
}

impl<G: Ord + Clone> Leases<G> {
    /// None granted, and not registered.
    #[must_use]
    pub fn none(ttl_ms: u64) -> Self {
        Self { ttl_ms, registered_until: 0, gateways: BTreeMap::new(), owed: BTreeMap::new() }
    }

    /// The registration was written to the database: others will not forget it before `period_ms` have passed since the
    /// writing, which was begun at `sent`. It is written *before* the reading that a grant rests on: a change that does
    /// not see the registration is seen by the reading.
    pub fn registered(&mut self, sent: Millis, period_ms: u64) {
        self.registered_until = self.registered_until.max(sent + shortened(period_ms));
    }

    /// A gateway asks. Where it is granted a lease, it counts as leased from now on, whatever becomes of the answer: it counts
    /// from when it sent the asking, which was before, so its lease ends before `now` plus the TTL.
    pub fn asked(&mut self, gateway: G, now: Millis) -> Asked {
        let until = now + self.ttl_ms;
        if self.registered_until < until {
            return Asked::Unregistered;
        }
        if let Some(owed) = self.owed.get_mut(&gateway) {
            owed.asked = now;
            if owed.is_silent(self.ttl_ms, now) {
                return Asked::Silent { is_news: !std::mem::replace(&mut owed.was_refused, true) };
            }
        }
        let granted = self.gateways.entry(gateway).or_default();
        granted.until = granted.until.max(until);
        if granted.acknowledged == Revision::MAX {
            // It had given up, and now asks after all.
            granted.acknowledged = 0;
        }
        Asked::Granted
    }

    /// Whether a gateway has owed an acknowledgement for longer than a lease.
    #[must_use]
    pub fn is_silent(&self, gateway: &G, now: Millis) -> bool {
        self.owed.get(gateway).is_some_and(|owed| owed.is_silent(self.ttl_ms, now))
    }

    /// A gateway that was granted a lease is told of everything up to `revision`, which it must acknowledge.
    pub fn told(&mut self, gateway: &G, revision: Revision, now: Millis) {
        if let Some(owed) = self.owed.get_mut(gateway) {
            owed.told = owed.told.max(revision);
        } else if let Some(granted) = self.gateways.get(gateway)
            && granted.acknowledged < revision
        {
            self.owed
                .insert(gateway.clone(), Owed { revision, since: now, told: revision, asked: now, was_refused: false });
        }
    }

    /// A gateway has applied everything up to `revision`.
    pub fn acknowledged(&mut self, gateway: &G, revision: Revision, now: Millis) {
        if let Some(granted) = self.gateways.get_mut(gateway) {
            granted.acknowledged = granted.acknowledged.max(revision);
        }
        if let Some(owed) = self.owed.get_mut(gateway)
            && owed.revision <= revision
        {
            if owed.told <= revision {
                self.owed.remove(gateway);
            } else {
                // It answers. What it was told since then has its own time.
                (owed.revision, owed.since, owed.was_refused) = (owed.told, now, false);
            }
        }
    }

    /// A gateway has promised never to use a lease again: that acknowledges whatever changes.
    pub fn released(&mut self, gateway: &G) {
        if let Some(granted) = self.gateways.get_mut(gateway) {
            granted.acknowledged = Revision::MAX;
        }
        self.owed.remove(gateway);
    }

    /// Whether no gateway can use, by a lease of this incarnation's, what was true before `revision`. A stream that closed
    /// ends no lease. Ask only once this replica has read a revision that high: whom it grants to later then sees it.
    #[must_use]
    pub fn is_done(&self, revision: Revision, now: Millis) -> bool {
        self.gateways.values().all(|granted| granted.until <= now || granted.acknowledged >= revision)
    }

    /// Who may use a lease of this incarnation's.
    pub fn holders(&self, now: Millis) -> impl Iterator<Item = &G> {
        let held = move |granted: &Granted| granted.until > now && granted.acknowledged < Revision::MAX;
        self.gateways.iter().filter(move |(_, granted)| held(granted)).map(|(gateway, _)| gateway)
    }

    /// Up to where each gateway has acknowledged; [`Revision::MAX`] where it has given its lease up.
    pub fn acknowledgements(&self) -> impl Iterator<Item = (&G, Revision)> {
        self.gateways.iter().map(|(gateway, granted)| (gateway, granted.acknowledged))
    }

    /// Up to where no gateway can use, by a lease of this incarnation's, what was true before; `known` where none holds one.
    /// See [`Leases::is_done`].
    #[must_use]
    pub fn done(&self, known: Revision, now: Millis) -> Revision {
        let held = self.gateways.values().filter(|granted| granted.until > now);
        held.map(|granted| granted.acknowledged).fold(known, Revision::min)
    }

    /// Revisions have begun again: what was acknowledged of the other history is worth nothing in this one.
    pub fn begin_another_history(&mut self) {
        for granted in self.gateways.values_mut().filter(|granted| granted.acknowledged < Revision::MAX) {
            granted.acknowledged = 0;
        }
        self.owed.clear();
    }

    /// When the last of the leases ends, where one has not.
    #[must_use]
    pub fn last_end(&self, now: Millis) -> Option<Millis> {
        let held = self.gateways.values().filter(|granted| granted.acknowledged < Revision::MAX);
        held.map(|granted| granted.until).filter(|until| *until > now).max()
    }

    /// Forgets gateways whose leases have run out. A silent one that still asks is remembered as silent: forgotten, it would be
    /// granted another lease.
    pub fn forget_ended(&mut self, now: Millis) {
        let ttl_ms = self.ttl_ms;
        self.gateways.retain(|_, granted| granted.until > now);
        let gateways = &self.gateways;
        self.owed.retain(|gateway, owed| {
            gateways.contains_key(gateway) || owed.is_silent(ttl_ms, now) && owed.asked + SILENT_KEPT * ttl_ms > now
        });
    }
}

/// The other replicas' registrations, as this one has seen them renewed. No two clocks are compared: a registration that
/// was not renewed for its whole period *since it was seen* has ended.
#[derive(Clone, Debug)]
pub struct Neighbours<I: Ord> {
    seen: BTreeMap<I, Sighting>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    renewal: u64,
    ends: Millis,
}

/// A registration as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration<I> {
    /// Whose it is.
    pub incarnation: I,
    /// Counts up with each renewal.
    pub renewal: u64,
    /// How long it stands after each.
    pub period_ms: u64,
}

impl<I: Ord> Default for Neighbours<I> {
    fn default() -> Self {
        Self { seen: BTreeMap::new() }
    }
}

impl<I: Ord + Copy> Neighbours<I> {
    /// These registrations were read, and the reading ended at `now`. Answers those that have ended: remove them, but not
    /// where they are renewed at the last moment.
    pub fn observe(&mut self, registrations: &[Registration<I>], now: Millis) -> Vec<Registration<I>> {
        self.seen.retain(|known, _| registrations.iter().any(|registration| registration.incarnation == *known));
        let mut ended = Vec::new();
        for registration in registrations {
            let renewed = Sighting { renewal: registration.renewal, ends: now + lengthened(registration.period_ms) };
            let sighting = self.seen.entry(registration.incarnation).or_insert(renewed);
            if sighting.renewal != registration.renewal {
                *sighting = renewed;
            }
            if sighting.ends <= now {
                ended.push(*registration);
            }
        }
        ended
    }
}

/// A committed change on its way to every gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingChange<I: Ord> {
    revision: Revision,
    deadline: Millis,
    waiting: BTreeSet<I>,
}

impl<I: Ord> PendingChange<I> {
    /// `replicas` must be read *after* the commit; `ttl_ms` is the longest lease that any of them grants. At `committed + ttl_ms`
    /// every lease that any replica granted on an older reading has ended.
    pub fn begin(revision: Revision, committed: Millis, ttl_ms: u64, replicas: impl IntoIterator<Item = I>) -> Self {
        Self { revision, deadline: committed + ttl_ms, waiting: replicas.into_iter().collect() }
    }

    /// A replica says that everything up to `revision` is done.
    pub fn done(&mut self, replica: &I, revision: Revision) {
        if revision >= self.revision {
            self.waiting.remove(replica);
        }
    }

    /// Only these replicas are registered still. The leases of one that no longer is have ended; should it register again,
    /// what it then reads has this change.
    pub fn registered(&mut self, replicas: &[I]) {
        self.waiting.retain(|replica| replicas.contains(replica));
    }

    /// Whether any replica has not said so yet.
    #[must_use]
    pub fn waits_for_anybody(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When the change may return, whatever was said.
    #[must_use]
    pub fn deadline(&self) -> Millis {
        self.deadline
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
        assert_eq!(leases.asked("a", 0), Asked::Unregistered, "not before it is registered");
        leases.registered(0, 30);
        assert!(leases.is_done(5, 0), "nobody holds a lease");
        assert_eq!((leases.asked("a", 0), leases.asked("b", 3)), (Asked::Granted, Asked::Granted));
        leases.acknowledged(&"a", 4, 9);
        leases.acknowledged(&"b", 5, 9);
        assert!(!leases.is_done(5, 9), "a has not acknowledged");
        assert_eq!(leases.holders(9).collect::<Vec<_>>(), [&"a", &"b"]);
        assert_eq!(leases.acknowledgements().collect::<Vec<_>>(), [(&"a", 4), (&"b", 5)]);
        assert_eq!((leases.done(9, 9), leases.done(9, 10), leases.done(9, 13)), (4, 5, 9));
        assert!(leases.is_done(5, 10), "its lease has run out");
        assert!(!leases.is_done(6, 12));
        leases.acknowledged(&"b", 6, 9);
        assert!(leases.is_done(6, 12));
        assert_eq!((leases.last_end(12), leases.last_end(13)), (Some(13), None));
        assert_eq!(leases.asked("a", 21), Asked::Unregistered, "the registration must outlive the lease");
        leases.forget_ended(20);
        assert!(leases.is_done(99, 0), "who is forgotten is not waited for");
        assert!(leases.asked("c", 20) == Asked::Granted && !leases.is_done(7, 20));
        leases.released(&"c");
        assert!(leases.is_done(7, 20), "nor who has given its lease up");
        assert_eq!((leases.holders(20).count(), leases.last_end(20)), (0, None));
        assert!(leases.asked("c", 20) == Asked::Granted && !leases.is_done(7, 20), "and asks after all");
        leases.acknowledged(&"c", 7, 9);
        leases.begin_another_history();
        assert!(!leases.is_done(7, 20), "what it acknowledged was another history's");
    }

    #[test]
    fn a_gateway_that_acknowledges_nothing_gets_no_further_lease_until_it_does() {
        let mut leases = Leases::none(10);
        leases.registered(0, 10_000);
        let ask = |leases: &mut Leases<&'static str>, now| leases.asked("a", now);
        assert_eq!(ask(&mut leases, 0), Asked::Granted);
        leases.told(&"a", 5, 1);
        leases.told(&"a", 6, 8);
        assert_eq!(ask(&mut leases, 11), Asked::Granted, "not longer than a lease");
        assert_eq!(ask(&mut leases, 12), Asked::Silent { is_news: true });
        assert!(!leases.is_done(5, 20) && leases.is_done(5, 21), "its last lease is the last that is waited for");
        leases.forget_ended(100);
        assert_eq!(ask(&mut leases, 100), Asked::Silent { is_news: false }, "it is remembered while it asks");
        leases.acknowledged(&"a", 4, 101);
        assert_eq!(ask(&mut leases, 102), Asked::Silent { is_news: false }, "it has not acknowledged what it owes");
        leases.acknowledged(&"a", 5, 103);
        assert_eq!(ask(&mut leases, 104), Asked::Granted, "it answers again, and owes the rest since then");
        assert_eq!(ask(&mut leases, 114), Asked::Silent { is_news: true });
        leases.acknowledged(&"a", 6, 115);
        assert_eq!(ask(&mut leases, 200), Asked::Granted, "it owes nothing");
        leases.told(&"a", 7, 200);
        assert_eq!(ask(&mut leases, 211), Asked::Silent { is_news: true });
        leases.forget_ended(311);
        assert_eq!(ask(&mut leases, 311), Asked::Granted, "it was gone for long");
        leases.told(&"a", 9, 311);
        leases.begin_another_history();
        assert_eq!(ask(&mut leases, 330), Asked::Granted, "what it owed was another history's");
    }

    #[test]
    fn a_registration_is_relied_on_for_less_than_it_is_honoured() {
        let mut leases = Leases::none(100);
        leases.registered(0, 1_000);
        assert_eq!((leases.asked("a", 890), leases.asked("a", 891)), (Asked::Granted, Asked::Unregistered));
        let mut neighbours = Neighbours::default();
        let seen = |renewal| [Registration { incarnation: "r", renewal, period_ms: 1_000 }];
        assert!(neighbours.observe(&seen(1), 50).is_empty());
        assert!(neighbours.observe(&seen(1), 1_059).is_empty());
        assert!(neighbours.observe(&seen(2), 1_060).is_empty(), "it was renewed");
        assert!(neighbours.observe(&seen(2), 2_069).is_empty());
        assert_eq!(neighbours.observe(&seen(2), 2_070), seen(2));
        assert!(neighbours.observe(&[], 2_071).is_empty());
        assert!(neighbours.observe(&seen(2), 2_072).is_empty(), "a registration anew is watched anew");
    }

    #[test]
    fn a_change_ends_by_word_of_all_or_by_time() {
        let mut change = PendingChange::begin(7, 100, 10, ["r1", "r2"]);
        change.done(&"r1", 7);
        change.done(&"r2", 6);
        assert!(!change.is_over(109) && change.is_over(110));
        assert!(change.waits_for_anybody());
        let mut without = change.clone();
        without.registered(&["r1", "r3"]);
        assert!(without.is_over(100), "who is registered no longer has no leases");
        change.done(&"r2", 8);
        assert!(change.is_over(100));
        assert!(PendingChange::<&str>::begin(7, 100, 10, []).is_over(100), "nobody to wait for");
    }
}
