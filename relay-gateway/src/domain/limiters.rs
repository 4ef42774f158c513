//! Rates by key, each with a limit of its own that may change: GCRA, a full period's worth at once.

use std::{
    fmt,
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use moka::{policy::EvictionPolicy, sync::Cache};
use shared::time::as_millis;

/// Keys tracked at once. Beyond it the longest idle is forgotten, which errs in its favour.
const MOST_KEYS: u64 = 1_000_000;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

struct Limited {
    limit: NonZeroU32,
    limiter: Limiter,
}

/// A key's rate at hand, for who keeps what it belongs to: spent from without looking it up.
#[derive(Default)]
pub(super) struct AtHand {
    limited: OnceLock<Arc<Limited>>,
    /// When it was last looked up or put back. Unix milliseconds.
    kept_ms: AtomicI64,
}

impl fmt::Debug for AtHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtHand(..)")
    }
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
        self.spend_from(&self.of(key, limit))
    }

    /// The same, from what is at hand, which belongs to this key and this limit.
    pub(super) fn spend_at_hand(&self, at_hand: &AtHand, key: K, limit: NonZeroU32, now_ms: i64) -> Result<u32, u64> {
        let limited = at_hand.limited.get_or_init(|| self.of(key, limit));
        // Now and then it is put back, so that it is found again by whoever has nothing at hand.
        if now_ms.abs_diff(at_hand.kept_ms.load(Ordering::Relaxed)) > as_millis(self.period / 2) {
            at_hand.kept_ms.store(now_ms, Ordering::Relaxed);
            if self.keys.get(&key).is_none() {
                self.keys.insert(key, Arc::clone(limited));
            }
        }
        self.spend_from(limited)
    }

    #[cfg(test)]
    pub(super) fn forget(&self, key: K) {
        self.keys.invalidate(&key);
    }

    fn spend_from(&self, limited: &Limited) -> Result<u32, u64> {
        match limited.limiter.check() {
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
