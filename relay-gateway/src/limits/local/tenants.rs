//! Tenants' rates, spent only by calls that the tenant really signed.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use wire::TenantId;

use super::gcra::{Rates, whole_seconds};
use crate::limits::limit::{Allowance, Exceeded, Limit, PERIOD_S};

/// The rates of the tenants that called lately.
pub(super) struct TenantRates(Rates<TenantId>);

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
    /// Spends one call of the tenant's.
    ///
    /// # Errors
    /// [`Limit::TenantRate`], and what is left: nothing.
    pub(super) fn spend(
        &self,
        TenantRate { id, per_min }: TenantRate,
        now: Instant,
    ) -> Result<Allowance, (Exceeded, Allowance)> {
        let limit = per_min.get();
        match self.0.spend(id, 1, per_min, now) {
            Ok(remaining) => {
                let spent = u64::from(limit.saturating_sub(remaining));
                Ok(Allowance { limit, remaining, reset_s: (spent * PERIOD_S).div_ceil(u64::from(limit)) })
            }
            Err(wait) => {
                let retry_after_s = whole_seconds(wait);
                let exceeded = Exceeded { limit: Limit::TenantRate(limit), retry_after_s };
                Err((exceeded, Allowance { limit, remaining: 0, reset_s: retry_after_s }))
            }
        }
    }

    pub(super) fn sweep(&self) {
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
        let left: Vec<_> = (0..3).map(|_| rates.spend(of(one, 3), now).expect("room").remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let (exceeded, allowance) = rates.spend(of(one, 3), now).expect_err("spent");
        assert_eq!((exceeded.limit, allowance.remaining), (Limit::TenantRate(3), 0));
        assert!((1..=21).contains(&allowance.reset_s), "a third of a minute each: {allowance:?}");
        assert!(rates.spend(of(other, 3), now).is_ok(), "a tenant spends its own");
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let (rates, id, now) = (TenantRates::default(), TenantId::generate(), Instant::now());
        let spend = |limit| rates.spend(of(id, limit), now);
        spend(1).expect("room");
        spend(1).expect_err("spent");
        assert_eq!(spend(100).expect("raised").remaining, 99);
        spend(1).expect("lowered, and new");
        spend(1).expect_err("spent");
    }
}
