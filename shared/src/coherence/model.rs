//! Every order of events in small fleets, by a model checker: replicas, gateways, one change, a network that delays and
//! reorders (what is lost is what never comes), crashes, restarts, pauses (a process that takes no step while time goes by).
//!
//! The machines are the real ones; the model adds a cache of one entry, a database of one row, and a clock of a few ticks.
//! Each of [`Breakage`] breaks a rule on purpose and must be caught: a model that finds nothing wrong with a broken
//! protocol would say nothing about the right one.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use super::{
    Changes, Millis, Revision,
    gateway::{Flights, Joining, Landing, Lease, Ticket},
    replica::{Leases, Propagation},
};

const TTL: Millis = 2;
/// A registration outlives every lease granted under it.
const REGISTERED_FOR: Millis = 2 * TTL;
/// The one tenant.
const TENANT: u8 = 0;
/// The replica that makes the change.
const CHANGER: usize = 0;
const UNSAFE: &str = "no request that begins once the change has returned is answered by the old state";
const ENDS: &str = "the change ends within a lease";

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breakage {
    /// The gateway counts its lease from when the answer came.
    CountedFromReceipt,
    /// The replica forgets a lease when its stream closes.
    ForgottenOnClose,
    /// Changes do not wait for replicas other than their own.
    NoRegistration,
    /// A restarted replica speaks under the identity of the one before it.
    OldIdentity,
    /// A reply that was read before a change is cached after it.
    NotPoisoned,
    /// A reply whose fetch was given up is cached.
    LateReplyKept,
    /// A request joins a fetch though no lease is held.
    JoinedWithoutLease,
}

struct Fleet {
    broken: Option<Breakage>,
    replicas: usize,
    gateways: usize,
    /// Askings a gateway makes in all.
    asks: u64,
    /// Whether replicas other than the changer may crash, once each.
    crashes: bool,
    /// Whether a gateway may give up a fetch, its first.
    abandons: bool,
    horizon: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: Millis,
    /// The database: the directory's revision, which is 1 once the tenant has changed, and who is registered until when.
    revision: Revision,
    registered: Vec<(Incarnation, Millis)>,
    replicas: Vec<Replica>,
    gateways: Vec<Gateway>,
    network: BTreeSet<Message>,
    change: Option<Propagation<Incarnation>>,
    committed: Option<Millis>,
    returned: bool,
    /// A request that began after the change had returned was answered by the state before it.
    stale: bool,
}

/// A replica and how often it was started.
type Incarnation = (usize, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    alive: bool,
    incarnation: Incarnation,
    /// The newest revision it has read or was told of.
    known: Revision,
    leases: Leases<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gateway {
    lease: Lease,
    flights: Flights<u8>,
    /// The revision of the tenant's cached state.
    cached: Option<Revision>,
    /// A request that began after the change had returned waits for the fetch under way.
    late_request: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Ask { gateway: usize, replica: usize, id: u64, seen: Revision },
    Answer { gateway: usize, id: u64, changes: Changes<u8>, replica: Incarnation },
    Push { gateway: usize, changes: Changes<u8>, replica: Incarnation },
    Reply { gateway: usize, ticket: Ticket, revision: Revision },
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Tick,
    Register(usize),
    Ask(usize, usize),
    Fetch(usize),
    /// The fetch under way is given up; its reply may still come.
    Abandon(usize),
    /// A request begins once the change has returned.
    Request(usize),
    Deliver(Message),
    Close(usize, usize),
    Commit,
    Learn(usize),
    Done(usize),
    Return,
    Crash(usize),
    Restart(usize),
}

impl Fleet {
    fn apply(&self, state: &mut State, gateway: usize, changes: &Changes<u8>) -> bool {
        let Gateway { lease, flights, cached, .. } = &mut state.gateways[gateway];
        if !lease.follows(changes) {
            return false;
        }
        if changes.keys.as_ref().is_none_or(|keys| keys.contains(&TENANT)) {
            *cached = None;
        }
        if self.broken != Some(Breakage::NotPoisoned) {
            flights.poison(changes);
        }
        lease.applied(changes.through);
        true
    }

    fn changes(after: Revision, through: Revision) -> Changes<u8> {
        Changes { after, through, keys: Some(if through > after { vec![TENANT] } else { Vec::new() }) }
    }

    fn deliver(&self, state: &mut State, message: Message) -> Option<()> {
        match message {
            Message::Ask { gateway, replica: index, id, seen } => {
                let (now, revision) = (state.now, state.revision);
                let replica = &mut state.replicas[index];
                if !replica.alive || !replica.leases.asked(gateway, seen, now) {
                    return None;
                }
                replica.known = replica.known.max(revision);
                let changes = Self::changes(seen, revision);
                let replica = replica.incarnation;
                state.network.insert(Message::Answer { gateway, id, changes, replica });
            }
            Message::Answer { gateway, id, changes, replica } => {
                if !self.apply(state, gateway, &changes) {
                    return Some(());
                }
                let now = state.now;
                let lease = &mut state.gateways[gateway].lease;
                let answered = lease.asked.is_some_and(|(asked, _)| asked == id);
                lease.granted(id);
                if answered && self.broken == Some(Breakage::CountedFromReceipt) {
                    lease.until = now + TTL;
                }
                acknowledge(state, gateway, replica);
            }
            Message::Push { gateway, changes, replica } => {
                if self.apply(state, gateway, &changes) {
                    acknowledge(state, gateway, replica);
                }
            }
            Message::Reply { gateway, ticket, revision } => {
                let current = state.revision;
                let gateway_state = &mut state.gateways[gateway];
                let landing = gateway_state.flights.land(&TENANT, ticket, revision);
                match landing {
                    Landing::Keep => {
                        gateway_state.cached = Some(revision);
                        let late = std::mem::take(&mut gateway_state.late_request);
                        state.stale |= late && revision == 0;
                    }
                    Landing::Repeat => {
                        state.network.insert(Message::Reply { gateway, ticket, revision: current });
                    }
                    Landing::Discard if self.broken == Some(Breakage::LateReplyKept) => {
                        gateway_state.cached = Some(revision);
                    }
                    Landing::Discard => {}
                }
            }
        }
        Some(())
    }
}

/// An acknowledgement arrives at once: what it says stays true, so one that is late only makes the change slow.
fn acknowledge(state: &mut State, gateway: usize, to: Incarnation) {
    let seen = state.gateways[gateway].lease.seen();
    let replica = &mut state.replicas[to.0];
    // A stream does not outlive the process it led to.
    if replica.alive && replica.incarnation == to {
        replica.leases.acknowledged(&gateway, seen);
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let replica = |index| Replica { alive: true, incarnation: (index, 0), known: 0, leases: Leases::none(TTL) };
        let gateway =
            Gateway { lease: Lease::none(TTL), flights: Flights::default(), cached: None, late_request: false };
        vec![State {
            now: 0,
            revision: 0,
            registered: Vec::new(),
            replicas: (0..self.replicas).map(replica).collect(),
            gateways: vec![gateway; self.gateways],
            network: BTreeSet::new(),
            change: None,
            committed: None,
            returned: false,
            stale: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.returned {
            // What matters from here on is what requests are answered by: messages go on, and requests begin.
            actions.extend(state.network.iter().cloned().map(Action::Deliver));
            actions.extend((0..self.gateways).map(Action::Request));
            return;
        }
        if state.now < self.horizon {
            actions.push(Action::Tick);
        }
        for index in 0..self.replicas {
            let replica = &state.replicas[index];
            if !replica.alive {
                actions.push(Action::Restart(index));
                continue;
            }
            // Once is enough: it lasts beyond the horizon.
            if !state.registered.iter().any(|(registered, _)| *registered == replica.incarnation) {
                actions.push(Action::Register(index));
            }
            actions.extend((0..self.gateways).map(|gateway| Action::Ask(gateway, index)));
            if self.broken == Some(Breakage::ForgottenOnClose) {
                actions.extend((0..self.gateways).map(|gateway| Action::Close(gateway, index)));
            }
            if replica.known < state.revision {
                actions.push(Action::Learn(index));
            }
            if state.change.is_some() {
                actions.push(Action::Done(index));
            }
            if self.crashes && index != CHANGER && replica.incarnation.1 == 0 {
                actions.push(Action::Crash(index));
            }
        }
        // A fetch that begins after the commit reads the new state: only one that begins before can be stale.
        if state.committed.is_none() {
            actions.extend((0..self.gateways).map(Action::Fetch));
        }
        if self.abandons {
            actions.extend((0..self.gateways).map(Action::Abandon));
        }
        for message in &state.network {
            actions.push(Action::Deliver(message.clone()));
        }
        actions.extend([Action::Commit, Action::Return]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Register(index) => {
                let until = state.now + REGISTERED_FOR;
                let replica = &mut state.replicas[index];
                let incarnation = replica.incarnation;
                replica.leases.registered(until);
                state.registered.retain(|(other, _)| *other != incarnation);
                state.registered.push((incarnation, until));
                state.registered.sort_unstable();
            }
            Action::Ask(gateway, replica) => {
                let lease = &mut state.gateways[gateway].lease;
                let asking = lease.ask(state.now);
                if asking.id >= self.asks {
                    return None;
                }
                state.network.insert(Message::Ask { gateway, replica, id: asking.id, seen: asking.seen });
            }
            Action::Fetch(gateway) => {
                let Gateway { lease, flights, cached, .. } = &mut state.gateways[gateway];
                if cached.is_some() {
                    return None;
                }
                // Who asks alone is answered and caches nothing.
                let Joining::Lead(ticket) = flights.join(TENANT, lease, state.now) else { return None };
                state.network.insert(Message::Reply { gateway, ticket, revision: state.revision });
            }
            Action::Abandon(gateway) => {
                let flights = &mut state.gateways[gateway].flights;
                if flights.next_ticket != 1 {
                    return None;
                }
                let ticket = state.network.iter().find_map(|message| match message {
                    Message::Reply { gateway: to, ticket, .. } if *to == gateway => Some(*ticket),
                    _ => None,
                })?;
                flights.abandon(&TENANT, ticket);
            }
            Action::Request(gateway) => {
                let Gateway { lease, flights, cached, late_request } = &mut state.gateways[gateway];
                let held = lease.is_held(state.now);
                if let (true, Some(revision)) = (held, *cached) {
                    state.stale |= revision == 0;
                } else {
                    // A broken gateway joins what is under way though it holds no lease.
                    let mut everlasting = lease.clone();
                    everlasting.until = Millis::MAX;
                    let lease = if self.broken == Some(Breakage::JoinedWithoutLease) { &everlasting } else { &*lease };
                    if let Joining::Follow(_) = flights.join(TENANT, lease, state.now) {
                        *late_request = true;
                    }
                }
            }
            Action::Deliver(message) => {
                state.network.remove(&message);
                self.deliver(&mut state, message)?;
            }
            // Only a broken replica takes notice.
            Action::Close(gateway, replica) => {
                let leases = &mut state.replicas[replica].leases;
                leases.acknowledged(&gateway, Revision::MAX);
            }
            Action::Commit => {
                if state.committed.is_some() {
                    return None;
                }
                state.revision = 1;
                state.committed = Some(state.now);
                let now = state.now;
                let own = state.replicas[CHANGER].incarnation;
                let known: Vec<Incarnation> = state
                    .registered
                    .iter()
                    .filter(|(incarnation, until)| {
                        *until > now && (*incarnation == own || self.broken != Some(Breakage::NoRegistration))
                    })
                    .map(|(incarnation, _)| *incarnation)
                    .collect();
                state.change = Some(Propagation::begin(1, now, TTL, known));
            }
            Action::Learn(index) => {
                let replica = &mut state.replicas[index];
                replica.known = state.revision;
                let replica = replica.incarnation;
                for gateway in 0..self.gateways {
                    let changes = Self::changes(0, state.revision);
                    state.network.insert(Message::Push { gateway, changes, replica });
                }
            }
            Action::Done(index) => {
                let replica = &state.replicas[index];
                let change = state.change.as_mut()?;
                if replica.known == 0 || !replica.leases.is_done(1, state.now) {
                    return None;
                }
                change.done(&replica.incarnation, 1);
                if self.broken == Some(Breakage::OldIdentity) {
                    change.done(&(index, 0), 1);
                }
            }
            Action::Return => {
                if !state.change.as_ref()?.is_over(state.now) {
                    return None;
                }
                state.returned = true;
            }
            Action::Crash(index) => state.replicas[index].alive = false,
            Action::Restart(index) => {
                let replica = &mut state.replicas[index];
                replica.alive = true;
                replica.incarnation.1 += 1;
                replica.known = 0;
                replica.leases = Leases::none(TTL);
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(UNSAFE, |_, state: &State| {
                let usable = |gateway: &Gateway| gateway.cached == Some(0) && gateway.lease.is_held(state.now);
                !(state.stale || state.returned && state.gateways.iter().any(usable))
            }),
            Property::always(ENDS, |_, state: &State| match (&state.change, state.committed) {
                (Some(change), Some(committed)) => state.now < committed + TTL || change.is_over(state.now),
                _ => true,
            }),
            Property::sometimes("a change returns before its deadline though leases are held", |_, state: &State| {
                state.returned
                    && state.committed == Some(state.now)
                    && state.gateways.iter().all(|gateway| gateway.lease.is_held(state.now))
            }),
        ]
    }
}

/// A small fleet. The lease's drift margin is under a tick here: the model's clocks run at one speed.
const fn fleet(replicas: usize, gateways: usize, asks: u64, crashes: bool, horizon: Millis) -> Fleet {
    // Giving up a fetch concerns one gateway: it is searched where there is one of each, which is the smallest fleet.
    Fleet { broken: None, replicas, gateways, asks, crashes, abandons: replicas + gateways == 2, horizon }
}

#[test]
fn the_protocol_is_safe_in_every_order_of_events() {
    for fleet in [fleet(1, 1, 2, false, 4), fleet(2, 1, 1, true, 4), fleet(1, 2, 1, false, 4), fleet(2, 1, 2, false, 3)]
    {
        let size = format!("{} replicas, {} gateways", fleet.replicas, fleet.gateways);
        let checker = fleet.checker().threads(2).spawn_dfs().join();
        checker.assert_properties();
        assert!(checker.is_done() && checker.unique_state_count() > 1_000, "all of it was searched");
        eprintln!("{size}: {} different states", checker.unique_state_count());
    }
}

#[test]
fn every_broken_rule_is_caught() {
    for (broken, fleet) in [
        (Breakage::CountedFromReceipt, fleet(1, 1, 1, false, 3)),
        (Breakage::ForgottenOnClose, fleet(1, 1, 1, false, 3)),
        (Breakage::NoRegistration, fleet(2, 1, 1, false, 3)),
        (Breakage::OldIdentity, fleet(2, 1, 1, true, 3)),
        (Breakage::NotPoisoned, fleet(1, 1, 2, false, 3)),
        (Breakage::LateReplyKept, fleet(1, 1, 2, false, 3)),
        (Breakage::JoinedWithoutLease, fleet(1, 1, 1, false, 4)),
    ] {
        // The same fleet is safe while the rule is kept: what is caught is the breakage.
        let found = HasDiscoveries::AnyOf(BTreeSet::from([UNSAFE]));
        let fleet = Fleet { broken: Some(broken), ..fleet };
        let checker = fleet.checker().threads(2).finish_when(found).spawn_bfs().join();
        let path = checker.discovery(UNSAFE).unwrap_or_else(|| panic!("{broken:?} was not caught"));
        eprintln!("{broken:?}: caught after {} steps", path.into_actions().len());
    }
}
