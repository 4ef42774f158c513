//! A fleet of the model: its processes, its network, and what each step does to them.

use std::collections::BTreeSet;

use crate::{
    changes::{Changes, Revision},
    gateway::{FetchOutcome, Lease, SingleFlight, Ticket},
    replica::{Asked, Leases, PendingChange},
    time::Millis,
};

pub(super) const TTL: Millis = 2;
/// A registration outlives every lease granted under it.
pub(super) const REGISTERED_FOR: Millis = TTL + 1;
pub(super) const UNSAFE: &str =
    "no request that begins once a change has returned is answered by what was true before it";
pub(super) const ENDS: &str = "a change ends within a lease";

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breakage {
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
pub(super) struct Fleet {
    pub(super) broken: Option<Breakage>,
    pub(super) replicas: usize,
    pub(super) gateways: usize,
    /// Changes in all, and the tenants they go round.
    pub(super) changes: Revision,
    pub(super) tenants: u8,
    /// Askings a gateway makes in all.
    pub(super) asks: u64,
    /// Whether replicas other than the first may crash, once each.
    pub(super) crashes: bool,
    /// Whether a gateway may give up a fetch, its first.
    pub(super) abandons: bool,
    /// Whether replicas may have forgotten what changed, and answer with a start-over.
    pub(super) prunes: bool,
    /// Whether replicas tell each other what gateways have acknowledged.
    pub(super) hears: bool,
    /// Whether replicas are registered, and gateways have asked them, before time begins.
    pub(super) settled: bool,
    pub(super) horizon: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) now: Millis,
    /// The database: which changes are committed, and who registered when.
    pub(super) committed: BTreeSet<Revision>,
    pub(super) registered: Vec<(Incarnation, Millis)>,
    pub(super) replicas: Vec<Replica>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) network: BTreeSet<Message>,
    pub(super) changes: Vec<Change>,
    /// A request that began after a change had returned was answered by the state before it.
    pub(super) stale: bool,
}

/// A replica and how often it was started.
pub(super) type Incarnation = (usize, u8);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) committed: Option<Millis>,
    /// The list of replicas, where a broken changer read it too early.
    pub(super) early: Option<Vec<Incarnation>>,
    pub(super) spreading: Option<PendingChange<Incarnation>>,
    pub(super) returned: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) alive: bool,
    pub(super) incarnation: Incarnation,
    /// The newest revision it has pushed.
    pub(super) known: Revision,
    pub(super) leases: Leases<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Gateway {
    pub(super) lease: Lease,
    pub(super) flights: SingleFlight<u8>,
    /// For each tenant the state that is cached, as the change that made it; 0 before any.
    pub(super) cached: Vec<Option<Revision>>,
    /// A request for the tenant, which began once that change had returned, waits for the fetch under way.
    pub(super) late_request: Option<(u8, Revision)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Message {
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
pub(super) enum Action {
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
    /// The replica that makes the change reads which replicas are registered.
    List(Revision),
    Learn(usize),
    Done(usize, Revision),
    Return(Revision),
    Crash(usize),
    Restart(usize),
}

impl State {
    pub(super) fn revision(&self) -> Revision {
        self.committed.last().copied().unwrap_or(0)
    }

    pub(super) fn change(&mut self, revision: Revision) -> &mut Change {
        &mut self.changes[revision as usize - 1]
    }

    /// A fetch's reading of the database.
    pub(super) fn read(&self, fleet: &Fleet, gateway: usize, tenant: u8, ticket: Ticket) -> Message {
        let state = self.committed.iter().rev().find(|change| fleet.tenant(**change) == tenant).copied().unwrap_or(0);
        Message::Reply { gateway, tenant, ticket, revision: self.revision(), state }
    }

    /// The newest change of the tenant's that has returned.
    pub(super) fn returned(&self, fleet: &Fleet, tenant: u8) -> Revision {
        (1..=fleet.changes)
            .rev()
            .find(|change| fleet.tenant(*change) == tenant && self.changes[*change as usize - 1].returned)
            .unwrap_or(0)
    }
}

impl Fleet {
    pub(super) fn tenant(&self, change: Revision) -> u8 {
        ((change - 1) % Revision::from(self.tenants)) as u8
    }

    pub(super) fn changer(&self, change: Revision) -> usize {
        (change as usize - 1) % self.replicas
    }

    pub(super) fn is(&self, broken: Breakage) -> bool {
        self.broken == Some(broken)
    }

    pub(super) fn changes(&self, state: &State, after: Revision) -> Changes<u8> {
        let keys: BTreeSet<u8> =
            state.committed.iter().filter(|change| **change > after).map(|change| self.tenant(*change)).collect();
        Changes { after, through: state.revision(), keys: Some(keys.into_iter().collect()) }
    }

    pub(super) fn apply(&self, state: &mut State, gateway: usize, changes: &Changes<u8>) -> bool {
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

    pub(super) fn deliver(&self, state: &mut State, message: Message, pruned: bool) -> Option<()> {
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
    pub(super) fn acknowledge(&self, state: &mut State, gateway: usize, to: Incarnation) {
        let (seen, now) = (state.gateways[gateway].lease.seen(), state.now);
        for replica in state.replicas.iter_mut().filter(|replica| replica.alive) {
            // A stream does not outlive the process it led to.
            if replica.incarnation == to || self.hears {
                replica.leases.acknowledged(&gateway, seen, now);
            }
        }
    }

    /// How long the others honour a registration.
    pub(super) fn registered_for(&self) -> Millis {
        if self.is(Breakage::RegistrationTooShort) { 1 } else { REGISTERED_FOR }
    }
}
