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

mod searches;
mod steps;

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
