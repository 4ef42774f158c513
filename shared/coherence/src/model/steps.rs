//! What can happen next in a fleet, and what must never be true.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::fleet::*;
use crate::{
    gateway::{Joining, Lease, SingleFlight},
    replica::{Leases, PendingChange},
    time::Millis,
};

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
                // A request that fetches alone is answered and caches nothing, so the state stays as it is.
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
