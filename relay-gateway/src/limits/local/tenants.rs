//! Tenants' rates, spent only by calls that the tenant really signed.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use wire::TenantId;

use super::gcra::{Rates, whole_seconds};
use crate::limits::limit::{Allowance, Exceeded, Limit, PERIOD_S};

/// The rates of the tenants that called lately.
pub(crate) struct TenantRates(Rates<TenantId>);

/// A tenant and its limit.
#[derive(Clone, Copy, Debug)]
pub struct TenantRate {
    pub id: TenantId,
    pub per_min: NonZeroU32,
}

impl Default for TenantRates {
    fn default() -> Self {
        Self(Rates::per(Duration::from_secs(PERIOD_S)))
    }
}

impl TenantRates {
    /// Spends one call of the tenant's, which counts as `each` calls: 1, or the number of gateways where each of them counts alone.
    ///
    /// # Errors
    /// [`Limit::TenantRate`], and what is left: nothing.
    pub(crate) fn spend(
        &self,
        TenantRate { id, per_min }: TenantRate,
        each: u32,
        now: Instant,
    ) -> Result<Allowance, (Exceeded, Allowance)> {
        let limit = per_min.get();
        // One call at least is admitted, however many gateways there are.
        let each = each.clamp(1, limit);
        match self.0.spend(id, each, per_min, now) {
            Ok(left) => Ok(Allowance { remaining: left / each, ..Allowance::after(limit, left) }),
            Err(wait) => {
                let retry_after_s = whole_seconds(wait);
                let exceeded = Exceeded { limit: Limit::TenantRate(limit), retry_after_s };
                Err((exceeded, Allowance { limit, remaining: 0, reset_s: retry_after_s }))
            }
        }
    }

    /// Notes how many calls of the tenant's are left in the fleet's count. If this gateway must count alone from now on, it goes on from there.
    pub(crate) fn mirror(&self, TenantRate { id, per_min }: TenantRate, left: u32, now: Instant) {
        let limited = self.0.of(id, per_min);
        limited.cell.mirror(limited.quota, left, now);
    }

    pub(crate) fn sweep(&self) {
        self.0.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("not zero")
    }

    fn of(id: TenantId, per_min: u32) -> TenantRate {
        TenantRate { id, per_min: many(per_min) }
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_no_more() {
        let (rates, now) = (TenantRates::default(), Instant::now());
        let (one, other) = (TenantId::generate(), TenantId::generate());
        let left: Vec<_> = (0..3).map(|_| rates.spend(of(one, 3), 1, now).expect("room").remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let (exceeded, allowance) = rates.spend(of(one, 3), 1, now).expect_err("spent");
        assert_eq!((exceeded.limit, allowance.remaining), (Limit::TenantRate(3), 0));
        assert!((1..=21).contains(&allowance.reset_s), "a third of a minute each: {allowance:?}");
        assert!(rates.spend(of(other, 3), 1, now).is_ok(), "a tenant spends its own");
    }

    #[test]
    fn a_gateway_that_counts_alone_admits_its_share_of_what_is_left() {
        let (rates, id, now) = (TenantRates::default(), TenantId::generate(), Instant::now());
        let calls = |left, gateways| {
            rates.mirror(of(id, 90), left, now);
            (0..100).filter(|_| rates.spend(of(id, 90), gateways, now).is_ok()).count()
        };
        assert_eq!([calls(90, 3), calls(60, 3), calls(3, 3), calls(2, 3), calls(0, 3)], [30, 20, 1, 0, 0]);
        assert_eq!((calls(90, 1), calls(90, 1000)), (90, 1), "and one call, however many gateways there are");
        // Another gateway comes: what was spent stays spent.
        rates.mirror(of(id, 90), 90, now);
        let spend = |gateways| rates.spend(of(id, 90), gateways, now);
        assert_eq!((0..45).filter(|_| spend(2).is_ok()).count(), 45);
        assert!(spend(3).is_err());
        rates.mirror(of(id, 90), 60, now);
        assert_eq!(spend(3).expect("room").remaining, 19, "of this gateway's share");
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let (rates, id, now) = (TenantRates::default(), TenantId::generate(), Instant::now());
        let spend = |limit| rates.spend(of(id, limit), 1, now);
        spend(1).expect("room");
        spend(1).expect_err("spent");
        assert_eq!(spend(100).expect("raised").remaining, 99);
        spend(1).expect("lowered, and new");
        spend(1).expect_err("spent");
    }
}
