use super::*;
use crate::trouble::{Trouble, postgres_trouble};

#[test]
fn a_doubt_covers_what_was_open_and_nothing_newer() {
    let guard = Guard::default();
    assert!(!guard.doubts(Duration::from_secs(60)));
    guard.doubt();
    assert!(guard.doubts(Duration::from_secs(60)) && guard.doubts(Duration::from_millis(100)));
    assert!(!guard.doubts(Duration::ZERO), "opened since");
}

#[test]
fn what_a_failover_brings_is_no_fault_of_the_statement() {
    for (code, expected) in [
        ("25006", Trouble::NoChanges),
        ("53100", Trouble::NoChanges),
        ("53300", Trouble::Away),
        ("57P01", Trouble::Away),
        ("57P03", Trouble::Away),
        ("57014", Trouble::Away),
        ("08006", Trouble::Away),
        ("40001", Trouble::Away),
        ("42601", Trouble::Refused),
        ("23505", Trouble::Refused),
    ] {
        assert_eq!(postgres_trouble(code), expected, "{code}");
    }
}
