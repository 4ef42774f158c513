//! A tenant's rate: GCRA, a full minute's worth at once, spent only by calls it really signed.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use moka::sync::Cache;
use shared::{ApiError, ErrorCode, TenantId};

use super::tenant::TenantState;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const MINUTE_SECONDS: u64 = 60;

/// A rate that was idle so long has refilled: a new one in its place is the same.
const FORGET_AFTER: Duration = Duration::from_secs(2 * MINUTE_SECONDS);

/// Tenants tracked at once. Beyond it the longest idle is forgotten, which errs in its favour.
const MOST_TENANTS: u64 = 1_000_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

struct TenantRate {
    limit: NonZeroU32,
    limiter: Limiter,
}

/// The rates of the tenants that called lately.
pub(crate) struct Rates {
    clock: DefaultClock,
    tenants: Cache<TenantId, Arc<TenantRate>>,
}

/// What a tenant has left, as the response headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    /// Until `remaining` is `limit` again, or, where nothing remains, until one call is.
    reset_seconds: u64,
}

impl Rates {
    pub(crate) fn new() -> Self {
        Self {
            clock: DefaultClock::default(),
            tenants: Cache::builder().max_capacity(MOST_TENANTS).time_to_idle(FORGET_AFTER).build(),
        }
    }

    /// Spends one call of the tenant's.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with `Retry-After`; the headers of [`Allowance`] come with it.
    pub(crate) fn admit(&self, tenant: &TenantState) -> Result<Allowance, (ApiError, Allowance)> {
        let rate = self.of(tenant);
        let limit = rate.limit.get();
        match rate.limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let spent = u64::from(limit.saturating_sub(remaining));
                Ok(Allowance { limit, remaining, reset_seconds: (spent * MINUTE_SECONDS).div_ceil(u64::from(limit)) })
            }
            Err(refused) => {
                let wait = refused.wait_time_from(self.clock.now());
                // Rounded up: a caller who returns on the second must find room.
                let seconds = wait.as_secs() + 1;
                let error = ApiError::new(
                    ErrorCode::RateLimited,
                    format!("This tenant may make {limit} calls a minute. Come back in {seconds} s, or ask for a higher rate_limit_per_min."),
                )
                .retry_after_seconds(seconds);
                Err((error, Allowance { limit, remaining: 0, reset_seconds: seconds }))
            }
        }
    }

    fn of(&self, tenant: &TenantState) -> Arc<TenantRate> {
        let limit = tenant.rate_limit_per_min;
        if let Some(rate) = self.tenants.get(&tenant.id).filter(|rate| rate.limit == limit) {
            return rate;
        }
        // New here, or its limit was changed: the new limit counts at once.
        let entry = self.tenants.entry(tenant.id).and_upsert_with(|current| match current {
            Some(current) if current.value().limit == limit => current.into_value(),
            _ => {
                let quota = Quota::per_minute(limit);
                Arc::new(TenantRate { limit, limiter: RateLimiter::direct(quota).with_middleware() })
            }
        });
        entry.into_value()
    }
}

impl Allowance {
    /// `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-11.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Self { limit, remaining, reset_seconds } = self;
        for (name, text) in [
            (RATE_LIMIT_POLICY, format!("\"tenant\";q={limit};w={MINUTE_SECONDS}")),
            (RATE_LIMIT, format!("\"tenant\";r={remaining};t={reset_seconds}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::signature::TenantKey;

    use super::*;

    fn tenant(id: TenantId, limit: u32) -> TenantState {
        TenantState {
            id,
            suspended: false,
            key: TenantKey::new(b"k"),
            rate_limit_per_min: NonZeroU32::new(limit).expect("not zero"),
        }
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_no_more() {
        let rates = Rates::new();
        let (one, other) = (tenant(TenantId::generate(), 3), tenant(TenantId::generate(), 3));
        let left: Vec<_> = (0..3).map(|_| rates.admit(&one).expect("room").remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let (error, allowance) = rates.admit(&one).expect_err("spent");
        assert_eq!((error.code(), allowance.remaining), (ErrorCode::RateLimited, 0));
        assert!((1..=20).contains(&allowance.reset_seconds), "a third of a minute each: {allowance:?}");
        assert!(rates.admit(&other).is_ok(), "a tenant spends its own");
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let rates = Rates::new();
        let id = TenantId::generate();
        rates.admit(&tenant(id, 1)).expect("room");
        rates.admit(&tenant(id, 1)).expect_err("spent");
        assert_eq!(rates.admit(&tenant(id, 100)).expect("raised").remaining, 99);
        rates.admit(&tenant(id, 1)).expect("lowered, and new");
        rates.admit(&tenant(id, 1)).expect_err("spent");
    }

    #[test]
    fn the_headers_follow_the_draft() {
        let mut headers = HeaderMap::new();
        Allowance { limit: 60, remaining: 12, reset_seconds: 48 }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"tenant\";q=60;w=60");
        assert_eq!(headers["ratelimit"], "\"tenant\";r=12;t=48");
    }
}
