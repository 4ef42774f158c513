//! Strangers who keep failing: an address that causes too many refused signatures is turned away unheard.
//!
//! Only calls that cost a lookup and proved nothing are counted; once over, an address waits until one more fits, which
//! bounds what it can cost the admin service. Callers who share an address share its fate: behind a proxy,
//! `trusted_proxies` tells them apart.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use moka::sync::Cache;
use shared::{ApiError, ErrorCode};

/// Addresses turned away at once, at most.
const MOST_BLOCKED: u64 = 100_000;
/// No wait is longer than what one refusal of the slowest limit costs.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Floods {
    clock: DefaultClock,
    refusals: DefaultKeyedRateLimiter<IpAddr>,
    /// Whether any address may be turned away: mostly none is, and then nobody has to be looked up.
    is_any_blocked: AtomicBool,
    /// Until when an address is turned away.
    blocked: Cache<IpAddr, Instant>,
}

impl Floods {
    pub(crate) fn new(per_min: NonZeroU32) -> Self {
        Self {
            clock: DefaultClock::default(),
            refusals: RateLimiter::keyed(Quota::per_minute(per_min)),
            is_any_blocked: AtomicBool::new(false),
            blocked: Cache::builder().max_capacity(MOST_BLOCKED).time_to_live(LONGEST_WAIT).build(),
        }
    }

    /// Whether an address is heard.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with `Retry-After`.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.is_any_blocked.load(Ordering::Relaxed) { self.admit_at(address, Instant::now()) } else { Ok(()) }
    }

    fn admit_at(&self, address: IpAddr, now: Instant) -> Result<(), ApiError> {
        match self.blocked.get(&network(address)).and_then(|until| until.checked_duration_since(now)) {
            None => Ok(()),
            Some(wait) => Err(ApiError::new(
                ErrorCode::RateLimited,
                "Too many calls that prove nothing came from this address. Check what it sends, and come back later.",
            )
            .retry_after_seconds(wait.as_secs() + 1)),
        }
    }

    /// Counts a call that proved nothing.
    pub(crate) fn refused(&self, address: IpAddr, now: Instant) {
        let network = network(address);
        if let Err(over) = self.refusals.check_key(&network) {
            self.blocked.insert(network, now + over.wait_time_from(self.clock.now()).min(LONGEST_WAIT));
            self.is_any_blocked.store(true, Ordering::Relaxed);
        }
    }

    /// Counts one such call unless it is proven before the answer is dropped: whatever way it ends (refused, too large,
    /// too slow, disconnected), it has cost a lookup.
    pub(crate) fn unproven(&self, address: IpAddr) -> Unproven<'_> {
        Unproven { floods: Some(self), address }
    }

    /// Forgets addresses that have been quiet. Call it now and then.
    pub(crate) fn forget_quiet(&self) {
        self.refusals.retain_recent();
        self.refusals.shrink_to_fit();
        // Said before it is looked at: who is turned away meanwhile says otherwise, afterwards.
        self.is_any_blocked.store(false, Ordering::Relaxed);
        self.blocked.run_pending_tasks();
        if self.blocked.entry_count() > 0 {
            self.is_any_blocked.store(true, Ordering::Relaxed);
        }
    }
}

/// A call whose caller has proved nothing yet.
#[must_use = "dropping it counts the call"]
pub(crate) struct Unproven<'a> {
    floods: Option<&'a Floods>,
    address: IpAddr,
}

impl Unproven<'_> {
    /// The caller is who it says, or it is not its fault that nobody knows.
    pub(crate) fn forgive(mut self) {
        self.floods = None;
    }
}

impl Drop for Unproven<'_> {
    fn drop(&mut self) {
        if let Some(floods) = self.floods {
            floods.refused(self.address, Instant::now());
        }
    }
}

/// One subscriber has a whole /64 of IPv6: it counts as one address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_keeps_failing_is_turned_away_and_others_are_not() {
        let floods = Floods::new(NonZeroU32::new(3).expect("not zero"));
        let [flood, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().expect("an address"));
        let now = Instant::now();
        for _ in 0..3 {
            floods.refused(flood, now);
            assert!(floods.admit_at(flood, now).is_ok(), "within the limit");
        }
        floods.refused(flood, now);
        assert_eq!(floods.admit_at(flood, now).expect_err("over").code(), ErrorCode::RateLimited);
        assert!(floods.admit_at(neighbour, now).is_err(), "the same /64");
        assert!(floods.admit_at(other, now).is_ok());
        assert!(floods.admit_at(flood, now + Duration::from_secs(21)).is_ok(), "a third of a minute later");
        floods.forget_quiet();
        assert!(floods.admit(flood).is_err(), "forgetting the quiet forgives nobody");
    }
}
