//! The fleets that are searched.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::fleet::*;

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
