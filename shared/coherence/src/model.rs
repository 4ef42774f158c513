//! Every order of events in small fleets, by a model checker: replicas, gateways, one or two changes, a network that delays
//! and reorders (what is lost is what never comes), crashes, restarts, pauses (a process that takes no step while time goes
//! by), registrations that run out.
//!
//! The machines are the real ones; the model adds a cache of an entry a tenant, a database, and a clock of a few ticks.
//! Each of [`Breakage`] breaks a rule on purpose and must be caught: a model that finds nothing wrong with a broken
//! protocol would say nothing about the right one.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model, Property};

use super::{
    Changes, Millis, Revision,
    gateway::{FetchOutcome, Joining, Lease, SingleFlight, Ticket},
    replica::{Asked, Leases, PendingChange},
};

const TTL: Millis = 2;
/// A registration outlives every lease granted under it.
const REGISTERED_FOR: Millis = TTL + 1;
const UNSAFE: &str = "no request that begins once a change has returned is answered by what was true before it";
const ENDS: &str = "a change ends within a lease";

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breakage {
    /// The gateway counts its lease from when the answer came.
    CountedFromReceipt,
    /// The replica forgets a lease when its stream closes.
    ForgottenOnClose,
    /// Changes do not wait for replicas other than their own.
    NoRegistration,
    /// A registration is forgotten before the leases granted under it end.
    RegistrationTooShort,
    /// The list of replicas is read before the commit.
    ListedBeforeCommit,
    /// A restarted replica speaks under the identity of the one before it.
    OldIdentity,
    /// A reply that was read before a change is cached after it.
    NotInvalidated,
    /// A reply whose fetch was given up is cached.
    LateReplyKept,
    /// A request joins a fetch though no lease is held.
    JoinedWithoutLease,
    /// Changes are applied though others that came before them were never heard of.
    GapIgnored,
    /// Revisions come from a sequence: a later one may commit first.
    RevisionsFromSequence,
}

#[derive(Clone, Copy)]
struct Fleet {
    broken: Option<Breakage>,
    replicas: usize,
    gateways: usize,
    /// Changes in all, and the tenants they go round.
    changes: Revision,
    tenants: u8,
    /// Askings a gateway makes in all.
    asks: u64,
    /// Whether replicas other than the first may crash, once each.
    crashes: bool,
    /// Whether a gateway may give up a fetch, its first.
    abandons: bool,
    /// Whether replicas may have forgotten what changed, and answer with a start-over.
    prunes: bool,
    /// Whether replicas tell each other what gateways have acknowledged.
    hears: bool,
    /// Whether replicas are registered, and gateways have asked them, before time begins.
    settled: bool,
    horizon: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: Millis,
    /// The database: which changes are committed, and who registered when.
    committed: BTreeSet<Revision>,
    registered: Vec<(Incarnation, Millis)>,
    replicas: Vec<Replica>,
    gateways: Vec<Gateway>,
    network: BTreeSet<Message>,
    changes: Vec<Change>,
    /// A request that began after a change had returned was answered by the state before it.
    stale: bool,
}

/// A replica and how often it was started.
type Incarnation = (usize, u8);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Change {
    committed: Option<Millis>,
    /// The list of replicas, where a broken changer read it too early.
    early: Option<Vec<Incarnation>>,
    spreading: Option<PendingChange<Incarnation>>,
    returned: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    alive: bool,
    incarnation: Incarnation,
    /// The newest revision it has pushed.
    known: Revision,
    leases: Leases<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Gateway {
    lease: Lease,
    flights: SingleFlight<u8>,
    /// For each tenant the state that is cached, as the change that made it; 0 before any.
    cached: Vec<Option<Revision>>,
    /// A request for the tenant, which began once that change had returned, waits for the fetch under way.
    late_request: Option<(u8, Revision)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Ask {
        gateway: usize,
        replica: usize,
        id: u64,
        seen: Revision,
    },
    /// The replica has noted the asking, and its reading of the database is under way.
    Read {
        gateway: usize,
        replica: Incarnation,
        id: u64,
        seen: Revision,
    },
    Answer {
        gateway: usize,
        id: u64,
        changes: Changes<u8>,
        replica: Incarnation,
    },
    Push {
        gateway: usize,
        changes: Changes<u8>,
        replica: Incarnation,
    },
    Reply {
        gateway: usize,
        tenant: u8,
        ticket: Ticket,
        revision: Revision,
        state: Revision,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Tick,
    Register(usize),
    /// A registration has run out and is removed.
    Unregister(Incarnation),
    Ask(usize, usize),
    Fetch(usize, u8),
    /// The fetch under way is given up; its reply may still come.
    Abandon(usize),
    /// A request begins.
    Request(usize, u8),
    Deliver(Message),
    /// The same, where the replica has forgotten what changed.
    DeliverPruned(Message),
    Close(usize, usize),
    Commit(Revision),
    /// The change's replica reads who is registered.
    List(Revision),
    Learn(usize),
    Done(usize, Revision),
    Return(Revision),
    Crash(usize),
    Restart(usize),
}

impl State {
    fn revision(&self) -> Revision {
        self.committed.last().copied().unwrap_or(0)
    }

    fn change(&mut self, revision: Revision) -> &mut Change {
        &mut self.changes[revision as usize - 1]
    }

    /// A fetch's reading of the database.
    fn read(&self, fleet: &Fleet, gateway: usize, tenant: u8, ticket: Ticket) -> Message {
        let state = self.committed.iter().rev().find(|change| fleet.tenant(**change) == tenant).copied().unwrap_or(0);
        Message::Reply { gateway, tenant, ticket, revision: self.revision(), state }
    }

    /// The newest change of the tenant's that has returned.
    fn returned(&self, fleet: &Fleet, tenant: u8) -> Revision {
        (1..=fleet.changes)
            .rev()
            .find(|change| fleet.tenant(*change) == tenant && self.changes[*change as usize - 1].returned)
            .unwrap_or(0)
    }
}

impl Fleet {
    fn tenant(&self, change: Revision) -> u8 {
        ((change - 1) % Revision::from(self.tenants)) as u8
    }

    fn changer(&self, change: Revision) -> usize {
        (change as usize - 1) % self.replicas
    }

    fn is(&self, broken: Breakage) -> bool {
        self.broken == Some(broken)
    }

    fn changes(&self, state: &State, after: Revision) -> Changes<u8> {
        let keys: BTreeSet<u8> =
            state.committed.iter().filter(|change| **change > after).map(|change| self.tenant(*change)).collect();
        Changes { after, through: state.revision(), keys: Some(keys.into_iter().collect()) }
    }

    fn apply(&self, state: &mut State, gateway: usize, changes: &Changes<u8>) -> bool {
        let Gateway { lease, flights, cached, .. } = &mut state.gateways[gateway];
        if !lease.follows(changes) && !self.is(Breakage::GapIgnored) {
            return false;
        }
        for (tenant, cached) in cached.iter_mut().enumerate() {
            if changes.keys.as_ref().is_none_or(|keys| keys.contains(&(tenant as u8))) {
                *cached = None;
            }
        }
        if !self.is(Breakage::NotInvalidated) {
            flights.invalidate(changes);
        }
        lease.applied(changes);
        true
    }

    fn deliver(&self, state: &mut State, message: Message, pruned: bool) -> Option<()> {
        match message {
            Message::Ask { gateway, replica: index, id, seen } => {
                let now = state.now;
                let replica = &mut state.replicas[index];
                if !replica.alive || replica.leases.asked(gateway, now) != Asked::Granted {
                    return None;
                }
                replica.leases.acknowledged(&gateway, seen, now);
                let replica = replica.incarnation;
                state.network.insert(Message::Read { gateway, replica, id, seen });
            }
            Message::Read { gateway, replica, id, seen } => {
                let reader = &state.replicas[replica.0];
                if !reader.alive || reader.incarnation != replica {
                    return Some(());
                }
                let changes = if pruned {
                    Changes { after: 0, through: state.revision(), keys: None }
                } else {
                    self.changes(state, seen)
                };
                state.network.insert(Message::Answer { gateway, id, changes, replica });
            }
            Message::Answer { gateway, id, changes, replica } => {
                if !self.apply(state, gateway, &changes) {
                    return Some(());
                }
                let now = state.now;
                let lease = &mut state.gateways[gateway].lease;
                if lease.granted(id, TTL) && self.is(Breakage::CountedFromReceipt) {
                    lease.until = now + TTL;
                }
                self.acknowledge(state, gateway, replica);
            }
            Message::Push { gateway, changes, replica } => {
                if self.apply(state, gateway, &changes) {
                    self.acknowledge(state, gateway, replica);
                }
            }
            Message::Reply { gateway, tenant, ticket, revision, state: content } => {
                let again = state.read(self, gateway, tenant, ticket);
                let Gateway { flights, cached, late_request, .. } = &mut state.gateways[gateway];
                match flights.land(&tenant, ticket, revision) {
                    FetchOutcome::Keep => {
                        cached[usize::from(tenant)] = Some(content);
                        if let Some((_, returned)) = late_request.take_if(|(waits_for, _)| *waits_for == tenant) {
                            state.stale |= content < returned;
                        }
                    }
                    FetchOutcome::Repeat => {
                        state.network.insert(again);
                    }
                    FetchOutcome::Discard if self.is(Breakage::LateReplyKept) => {
                        cached[usize::from(tenant)] = Some(content);
                    }
                    FetchOutcome::Discard => {}
                }
            }
        }
        Some(())
    }

    /// An acknowledgement arrives at once: what it says stays true, so one that is late only makes the change slow.
    fn acknowledge(&self, state: &mut State, gateway: usize, to: Incarnation) {
        let (seen, now) = (state.gateways[gateway].lease.seen(), state.now);
        for replica in state.replicas.iter_mut().filter(|replica| replica.alive) {
            // A stream does not outlive the process it led to.
            if replica.incarnation == to || self.hears {
                replica.leases.acknowledged(&gateway, seen, now);
            }
        }
    }

    /// How long the others honour a registration.
    fn registered_for(&self) -> Millis {
        if self.is(Breakage::RegistrationTooShort) { 1 } else { REGISTERED_FOR }
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let replica = |index| Replica { alive: true, incarnation: (index, 0), known: 0, leases: Leases::none(TTL) };
        let gateway = Gateway {
            lease: Lease::default(),
            flights: SingleFlight::default(),
            cached: vec![None; usize::from(self.tenants)],
            late_request: None,
        };
        let mut state = State {
            now: 0,
            committed: BTreeSet::new(),
            registered: Vec::new(),
            replicas: (0..self.replicas).map(replica).collect(),
            gateways: vec![gateway; self.gateways],
            network: BTreeSet::new(),
            changes: vec![Change::default(); self.changes as usize],
            stale: false,
        };
        if self.settled {
            for index in 0..self.replicas {
                state = self.next_state(&state, Action::Register(index)).expect("nobody is registered");
            }
            for gateway in 0..self.gateways {
                state =
                    self.next_state(&state, Action::Ask(gateway, gateway % self.replicas)).expect("nobody has asked");
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for message in &state.network {
            actions.push(Action::Deliver(message.clone()));
            if self.prunes && matches!(message, Message::Read { .. }) {
                actions.push(Action::DeliverPruned(message.clone()));
            }
        }
        for tenant in (0..self.tenants).filter(|tenant| state.returned(self, *tenant) > 0) {
            actions.extend((0..self.gateways).map(|gateway| Action::Request(gateway, tenant)));
        }
        if state.changes.iter().all(|change| change.returned) {
            // What matters from here on is what requests are answered by.
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
            if !state.registered.iter().any(|(registered, _)| *registered == replica.incarnation) {
                actions.push(Action::Register(index));
            }
            actions.extend((0..self.gateways).map(|gateway| Action::Ask(gateway, index)));
            if self.is(Breakage::ForgottenOnClose) {
                actions.extend((0..self.gateways).map(|gateway| Action::Close(gateway, index)));
            }
            if replica.known < state.revision() {
                actions.push(Action::Learn(index));
            }
            actions.extend((1..=replica.known).map(|change| Action::Done(index, change)));
            if self.crashes && index != 0 && replica.incarnation.1 == 0 {
                actions.push(Action::Crash(index));
            }
        }
        for (incarnation, written) in &state.registered {
            if state.now >= written + self.registered_for() {
                actions.push(Action::Unregister(*incarnation));
            }
        }
        for change in 1..=self.changes {
            actions.extend([Action::Commit(change), Action::List(change), Action::Return(change)]);
        }
        // A fetch that begins after the last commit reads the newest state: only one that begins before can be stale.
        for tenant in 0..self.tenants {
            if (1..=self.changes).any(|change| self.tenant(change) == tenant && !state.committed.contains(&change)) {
                actions.extend((0..self.gateways).map(|gateway| Action::Fetch(gateway, tenant)));
            }
        }
        if self.abandons {
            actions.extend((0..self.gateways).map(Action::Abandon));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Register(index) => {
                let replica = &mut state.replicas[index];
                replica.leases.registered(state.now, REGISTERED_FOR);
                state.registered.push((replica.incarnation, state.now));
                state.registered.sort_unstable();
            }
            Action::Unregister(ended) => state.registered.retain(|(incarnation, _)| *incarnation != ended),
            Action::Ask(gateway, replica) => {
                let lease = &mut state.gateways[gateway].lease;
                let asking = lease.ask(state.now);
                if asking.id >= self.asks {
                    return None;
                }
                state.network.insert(Message::Ask { gateway, replica, id: asking.id, seen: asking.seen });
            }
            Action::Fetch(gateway, tenant) => {
                let Gateway { lease, flights, cached, .. } = &mut state.gateways[gateway];
                if cached[usize::from(tenant)].is_some() {
                    return None;
                }
                // Who asks alone is answered and caches nothing.
                let Joining::Lead(ticket) = flights.join(tenant, lease, state.now) else { return None };
                let reading = state.read(self, gateway, tenant, ticket);
                state.network.insert(reading);
            }
            Action::Abandon(gateway) => {
                let flights = &mut state.gateways[gateway].flights;
                if flights.next_ticket != 1 {
                    return None;
                }
                let (tenant, ticket) = state.network.iter().find_map(|message| match message {
                    Message::Reply { gateway: to, tenant, ticket, .. } if *to == gateway => Some((*tenant, *ticket)),
                    _ => None,
                })?;
                flights.abandon(&tenant, ticket);
            }
            Action::Request(gateway, tenant) => {
                let returned = state.returned(self, tenant);
                let Gateway { lease, flights, cached, late_request } = &mut state.gateways[gateway];
                if let (true, Some(content)) = (lease.is_held(state.now), cached[usize::from(tenant)]) {
                    state.stale |= content < returned;
                } else {
                    let mut lease = lease.clone();
                    if self.is(Breakage::JoinedWithoutLease) {
                        lease.until = Millis::MAX;
                    }
                    // One that leads a fetch of its own, or asks alone, is answered by what is read after it began.
                    if let Joining::Follow(_) = flights.clone().join(tenant, &lease, state.now) {
                        *late_request = Some((tenant, returned));
                    }
                }
            }
            Action::Deliver(message) => {
                state.network.remove(&message);
                self.deliver(&mut state, message, false)?;
            }
            Action::DeliverPruned(message) => {
                state.network.remove(&message);
                self.deliver(&mut state, message, true)?;
            }
            // Only a broken replica takes notice.
            Action::Close(gateway, replica) => state.replicas[replica].leases.released(&gateway),
            Action::Commit(revision) => {
                let in_order = state.revision() + 1 == revision || self.is(Breakage::RevisionsFromSequence);
                if !in_order || state.change(revision).committed.is_some() {
                    return None;
                }
                if self.is(Breakage::ListedBeforeCommit) && state.change(revision).early.is_none() {
                    return None;
                }
                let now = state.now;
                state.change(revision).committed = Some(now);
                state.committed.insert(revision);
            }
            Action::List(revision) => {
                let own = state.replicas[self.changer(revision)].incarnation;
                let listed: Vec<Incarnation> = state
                    .registered
                    .iter()
                    .map(|(incarnation, _)| *incarnation)
                    .filter(|incarnation| *incarnation == own || !self.is(Breakage::NoRegistration))
                    .collect();
                let change = state.change(revision);
                if change.spreading.is_some() {
                    return None;
                }
                let Some(committed) = change.committed else {
                    if !self.is(Breakage::ListedBeforeCommit) || change.early.is_some() {
                        return None;
                    }
                    change.early = Some(listed);
                    return Some(state);
                };
                let listed = change.early.take().unwrap_or(listed);
                change.spreading = Some(PendingChange::begin(revision, committed, TTL, listed));
            }
            Action::Learn(index) => {
                let known = state.replicas[index].known;
                let changes = self.changes(&state, known);
                let replica = state.replicas[index].incarnation;
                state.replicas[index].known = changes.through;
                for gateway in 0..self.gateways {
                    state.network.insert(Message::Push { gateway, changes: changes.clone(), replica });
                }
            }
            Action::Done(index, revision) => {
                let now = state.now;
                let replica = &state.replicas[index];
                if !replica.leases.is_done(revision, now) {
                    return None;
                }
                let incarnation = replica.incarnation;
                let change = state.change(revision).spreading.as_mut()?;
                change.done(&incarnation, revision);
                if self.is(Breakage::OldIdentity) {
                    change.done(&(index, 0), revision);
                }
            }
            Action::Return(revision) => {
                let now = state.now;
                let change = state.change(revision);
                if !change.spreading.as_ref()?.is_over(now) {
                    return None;
                }
                change.returned = true;
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
            Property::always(UNSAFE, |fleet: &Self, state: &State| {
                let usable = |gateway: &Gateway| {
                    (0..fleet.tenants).any(|tenant| {
                        gateway.cached[usize::from(tenant)].is_some_and(|content| {
                            content < state.returned(fleet, tenant) && gateway.lease.is_held(state.now)
                        })
                    })
                };
                !(state.stale || state.gateways.iter().any(usable))
            }),
            Property::always(ENDS, |_, state: &State| {
                state.changes.iter().all(|change| match (&change.spreading, change.committed) {
                    (Some(spreading), Some(committed)) => state.now < committed + TTL || spreading.is_over(state.now),
                    _ => true,
                })
            }),
            Property::sometimes("a change returns before its deadline though leases are held", |_, state: &State| {
                let at_once = |change: &Change| change.returned && change.committed == Some(state.now);
                state.changes.iter().all(at_once)
                    && state.gateways.iter().all(|gateway| gateway.lease.is_held(state.now))
            }),
        ]
    }
}

/// The smallest fleet, on which others build. The lease's drift margin is under a tick: the model's clocks run at one speed.
const SMALLEST: Fleet = Fleet {
    broken: None,
    replicas: 1,
    gateways: 1,
    changes: 1,
    tenants: 1,
    asks: 1,
    crashes: false,
    abandons: false,
    prunes: false,
    hears: false,
    settled: false,
    horizon: 3,
};

const ONE_OF_EACH: Fleet = Fleet { asks: 2, abandons: true, prunes: true, horizon: 4, ..SMALLEST };
const TWO_TENANTS: Fleet = Fleet { changes: 2, tenants: 2, prunes: true, ..SMALLEST };
const TWO_CHANGES: Fleet = Fleet { changes: 2, ..SMALLEST };
const CRASHING: Fleet = Fleet { replicas: 2, crashes: true, ..SMALLEST };
const MOVING: Fleet = Fleet { replicas: 2, asks: 2, settled: true, ..SMALLEST };
const HEARING: Fleet = Fleet { hears: true, ..MOVING };
const TWO_GATEWAYS: Fleet = Fleet { gateways: 2, horizon: 4, ..SMALLEST };
const TWO_BY_TWO: Fleet = Fleet { replicas: 2, gateways: 2, settled: true, ..SMALLEST };

/// Searches every order of events in a fleet. A test each: nextest gives each its own time.
fn is_safe_in_every_order_of_events(fleet: Fleet) {
    let checker = fleet.checker().threads(2).spawn_dfs().join();
    checker.assert_properties();
    assert!(checker.is_done() && checker.unique_state_count() > 1_000, "all of it was searched");
    eprintln!("{} different states", checker.unique_state_count());
}

#[test]
fn one_of_each_is_safe() {
    is_safe_in_every_order_of_events(ONE_OF_EACH);
}

#[test]
fn two_tenants_are_safe() {
    is_safe_in_every_order_of_events(TWO_TENANTS);
}

#[test]
fn two_changes_are_safe() {
    is_safe_in_every_order_of_events(TWO_CHANGES);
}

#[test]
fn a_replica_that_crashes_is_safe() {
    is_safe_in_every_order_of_events(CRASHING);
}

#[test]
fn a_gateway_that_moves_is_safe() {
    is_safe_in_every_order_of_events(MOVING);
}

#[test]
fn a_gateway_whose_word_is_passed_on_is_safe() {
    is_safe_in_every_order_of_events(HEARING);
}

#[test]
fn two_gateways_are_safe() {
    is_safe_in_every_order_of_events(TWO_GATEWAYS);
}

#[test]
fn two_replicas_and_two_gateways_are_safe() {
    is_safe_in_every_order_of_events(TWO_BY_TWO);
}

#[test]
fn every_broken_rule_is_caught() {
    // Each in (a shorter run of) a fleet that is searched above with the rule kept: what is caught is the breakage.
    for (broken, fleet) in [
        (Breakage::CountedFromReceipt, ONE_OF_EACH),
        (Breakage::ForgottenOnClose, ONE_OF_EACH),
        (Breakage::NoRegistration, MOVING),
        (Breakage::RegistrationTooShort, MOVING),
        (Breakage::ListedBeforeCommit, Fleet { horizon: 2, ..CRASHING }),
        (Breakage::OldIdentity, Fleet { horizon: 1, ..CRASHING }),
        (Breakage::NotInvalidated, ONE_OF_EACH),
        (Breakage::LateReplyKept, ONE_OF_EACH),
        (Breakage::JoinedWithoutLease, ONE_OF_EACH),
        (Breakage::GapIgnored, TWO_TENANTS),
        (Breakage::RevisionsFromSequence, TWO_TENANTS),
    ] {
        let found = HasDiscoveries::AnyOf(BTreeSet::from([UNSAFE]));
        let fleet = Fleet { broken: Some(broken), ..fleet };
        let checker = fleet.checker().threads(2).finish_when(found).spawn_bfs().join();
        let path = checker.discovery(UNSAFE).unwrap_or_else(|| panic!("{broken:?} was not caught"));
        eprintln!("{broken:?}: caught after {} steps", path.into_actions().len());
    }
}
