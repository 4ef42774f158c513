//! Rates by key, each with a limit of its own that may change: GCRA, a full period's worth at once.

use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::{policy::EvictionPolicy, sync::Cache};

/// Keys tracked at once. Beyond it the longest idle is forgotten, which errs in its favour.
const MOST_KEYS: u64 = 1_000_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

struct Limited {
    limit: NonZeroU32,
    limiter: Limiter,
}

/// The rates of the keys that spent lately.
pub(super) struct Limiters<K> {
    clock: DefaultClock,
    period: Duration,
    keys: Cache<K, Arc<Limited>>,
}

impl<K: Hash + Eq + Copy + Send + Sync + 'static> Limiters<K> {
    /// With limits that hold for a period each.
    pub(super) fn per(period: Duration) -> Self {
        // A rate that was idle for a period has refilled: a new one in its place is the same.
        let keys = Cache::builder()
            .max_capacity(MOST_KEYS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(period * 2)
            .build();
        Self { clock: DefaultClock::default(), period, keys }
    }

    /// Spends one of the key's, and answers how many are left; where none is, in how many seconds one will be, rounded up: who
    /// returns on the second must find room.
    pub(super) fn spend(&self, key: K, limit: NonZeroU32) -> Result<u32, u64> {
        match self.of(key, limit).limiter.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(refused) => Err(refused.wait_time_from(self.clock.now()).as_secs() + 1),
        }
    }

    fn of(&self, key: K, limit: NonZeroU32) -> Arc<Limited> {
        if let Some(limited) = self.keys.get(&key).filter(|limited| limited.limit == limit) {
            return limited;
        }
        // New here, or its limit was changed: the new limit counts at once.
        let entry = self.keys.entry(key).and_upsert_with(|current| match current {
            Some(current) if current.value().limit == limit => current.into_value(),
            _ => {
                // A limit is 32 bits: at a period of an hour, a call costs 838 ns at least.
                let quota =
                    Quota::with_period(self.period / limit.get()).expect("a period is longer than its limit in ns");
                Arc::new(Limited { limit, limiter: RateLimiter::direct(quota.allow_burst(limit)).with_middleware() })
            }
        });
        entry.into_value()
    }
}
