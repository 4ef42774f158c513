//! Failed calls by address: an address that keeps failing is refused before its next call costs a look-up.
//!
//! A call that may cost something is charged when it begins and given back when it turns out to be good, so that many at once
//! cannot pass together. A call that costs nothing (its tenant is cached) is charged only when it has failed: good calls from an
//! address that others share with an attacker are answered. Behind a proxy, `trusted_proxies` tells callers apart.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use service::edge::network;

use super::gcra::{Cell, Quota, whole_seconds};
use crate::limits::limit::{Exceeded, Lane, Limit};

/// Addresses tracked at once.
const MOST_ADDRESSES: u64 = 100_000;
const PERIOD: Duration = Duration::from_secs(60);

/// Failed calls, by lane and address.
pub(crate) struct Failures {
    signed: FailureLimiter,
    visitor: FailureLimiter,
    admin: FailureLimiter,
    developer: FailureLimiter,
    operator: FailureLimiter,
}

impl Failures {
    pub(crate) fn new(per_min: NonZeroU32) -> Self {
        let lane = || FailureLimiter::new(per_min);
        Self { signed: lane(), visitor: lane(), admin: lane(), developer: lane(), operator: lane() }
    }

    /// Failed calls of one lane.
    pub(crate) fn of(&self, lane: Lane) -> &FailureLimiter {
        match lane {
            Lane::Signed => &self.signed,
            Lane::Visitor => &self.visitor,
            Lane::Admin => &self.admin,
            Lane::Developer => &self.developer,
            Lane::Operator => &self.operator,
        }
    }

    pub(crate) fn sweep(&self) {
        for lane in [&self.signed, &self.visitor, &self.admin, &self.developer, &self.operator] {
            lane.addresses.run_pending_tasks();
        }
    }
}

/// Failed calls of one lane, by address.
pub(crate) struct FailureLimiter {
    quota: Quota,
    addresses: Cache<IpAddr, Arc<Cell>>,
}

/// A call that has been charged as a failure.
#[must_use = "dropping it leaves the call charged"]
pub(crate) struct FailureGuard {
    cell: Arc<Cell>,
    quota: Quota,
}

impl FailureLimiter {
    fn new(per_min: NonZeroU32) -> Self {
        // An address that was quiet for a period has nothing left to forget.
        let addresses = Cache::builder().max_capacity(MOST_ADDRESSES).time_to_idle(PERIOD * 2).build();
        Self { quota: Quota::new(per_min, PERIOD), addresses }
    }

    /// Charges a call that may fail. However it ends (refused, too large, too slow, disconnected), it stays charged unless the
    /// guard is disarmed.
    ///
    /// # Errors
    /// [`Limit::FailedCalls`] where the address has failed too often: then nothing is charged.
    pub(crate) fn charge(&self, address: IpAddr, now: Instant) -> Result<FailureGuard, Exceeded> {
        let cell = self.addresses.get_with(network(address), Arc::default);
        match cell.spend(1, self.quota, now) {
            Ok(_) => Ok(FailureGuard { cell, quota: self.quota }),
            Err(wait) => Err(Exceeded { limit: Limit::FailedCalls, retry_after_s: whole_seconds(wait) }),
        }
    }

    /// Counts a call that has failed.
    ///
    /// # Errors
    /// [`Limit::FailedCalls`] where it is one too many: then the caller is told this instead of why the call failed.
    pub(crate) fn count(&self, address: IpAddr, now: Instant) -> Result<(), Exceeded> {
        self.charge(address, now).map(drop)
    }
}

impl FailureGuard {
    /// Gives the charge back: the call was good, or its caller is not to blame for its failure.
    pub(crate) fn disarm(self) {
        self.cell.refund(1, self.quota);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_that_keeps_failing_is_refused_and_others_are_not() {
        let failures = FailureLimiter::new(NonZeroU32::new(3).expect("not zero"));
        let (flood, now) = (address("2001:db8::1"), Instant::now());
        for _ in 0..3 {
            failures.count(flood, now).expect("within the limit");
        }
        assert_eq!(failures.count(flood, now).expect_err("over").limit, Limit::FailedCalls);
        assert!(failures.charge(address("2001:db8::2"), now).is_err(), "the same /64");
        assert!(failures.charge(address("2001:db8:0:1::1"), now).is_ok());
        assert!(failures.charge(flood, now + Duration::from_secs(20)).is_ok(), "a third of a minute later");
    }

    #[test]
    fn of_many_at_once_as_many_are_heard_as_may_fail_and_the_good_cost_nothing() {
        let failures = FailureLimiter::new(NonZeroU32::new(5).expect("not zero"));
        let (shared, now) = (address("192.0.2.1"), Instant::now());
        let under_way: Vec<_> = (0..100).filter_map(|_| failures.charge(shared, now).ok()).collect();
        assert_eq!(under_way.len(), 5);
        under_way.into_iter().for_each(FailureGuard::disarm);
        for _ in 0..100 {
            failures.charge(shared, now).expect("nothing has failed").disarm();
        }
    }
}
