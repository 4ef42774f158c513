//! Rates by key: GCRA (the generic cell rate algorithm), a full period's worth at once. In t seconds a limit of n a minute
//! admits at most n × (1 + t/60).
//!
//! Written here rather than taken from a library, because a charge must be given back where a call turns out to be good, and
//! because `now` is passed in.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::{policy::EvictionPolicy, sync::Cache};

/// Keys tracked at once. Beyond it the one that was idle for longest is forgotten, which errs in its favour.
const MOST_KEYS: u64 = 1_000_000;

/// Where [`ticks`] begin: before any time that is passed in.
static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(60)).unwrap_or(now)
});

/// Nanoseconds since some moment of this process.
fn ticks(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*EPOCH).as_nanos()).unwrap_or(u64::MAX)
}

/// How much may be spent in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    limit: NonZeroU32,
    /// What one unit costs, in ticks.
    each: u64,
}

impl Quota {
    pub(super) fn new(limit: NonZeroU32, period: Duration) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self { limit, each: period.div_ceil(u64::from(limit.get())).max(1) }
    }

    fn burst(self) -> u64 {
        self.each * u64::from(self.limit.get())
    }
}

/// What one key has spent.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// When everything spent will have been refilled, in ticks (GCRA's theoretical arrival time).
    full_at: AtomicU64,
}

impl Cell {
    /// Spends some units, and answers how many are left.
    ///
    /// # Errors
    /// How long until there is room for them. Where there never is, a period.
    pub(super) fn spend(&self, units: u32, quota: Quota, now: Instant) -> Result<u32, Duration> {
        let now = ticks(now);
        let cost = quota.each.saturating_mul(u64::from(units));
        let mut seen = self.full_at.load(Ordering::Relaxed);
        loop {
            let full_at = seen.max(now).saturating_add(cost);
            let ahead = full_at - now;
            if ahead > quota.burst() {
                return Err(Duration::from_nanos(ahead - quota.burst()));
            }
            match self.full_at.compare_exchange_weak(seen, full_at, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(u32::try_from((quota.burst() - ahead) / quota.each).unwrap_or(u32::MAX)),
                Err(other) => seen = other,
            }
        }
    }

    /// Spends some units that were admitted elsewhere; where fewer are left, all of them.
    pub(super) fn note(&self, units: u32, quota: Quota, now: Instant) {
        let (now, cost) = (ticks(now), quota.each.saturating_mul(u64::from(units)));
        let noted = |seen: u64| Some(seen.max(now).saturating_add(cost).min(now + quota.burst()));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, noted);
    }

    /// From now on `left` units are left, as somebody else has counted.
    pub(super) fn mirror(&self, quota: Quota, left: u32, now: Instant) {
        let spent = quota.limit.get().saturating_sub(left);
        self.full_at.store(ticks(now) + quota.each * u64::from(spent), Ordering::Relaxed);
    }

    /// Gives some spent units back.
    pub(super) fn refund(&self, units: u32, quota: Quota) {
        let cost = quota.each.saturating_mul(u64::from(units));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some(at.saturating_sub(cost)));
    }

    /// How many units are spent and not refilled yet.
    pub(super) fn spent(&self, quota: Quota, now: Instant) -> u32 {
        let ahead = self.full_at.load(Ordering::Relaxed).saturating_sub(ticks(now));
        u32::try_from(ahead.div_ceil(quota.each)).unwrap_or(u32::MAX)
    }
}

/// Whole seconds, rounded up: a caller who returns on the second finds room.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

#[derive(Debug)]
pub(super) struct Limited {
    pub(super) quota: Quota,
    pub(super) cell: Cell,
}

/// The rates of the keys that spent lately.
pub(super) struct Rates<K> {
    period: Duration,
    keys: Cache<K, Arc<Limited>>,
}

impl<K: Hash + Eq + Copy + Send + Sync + 'static> Rates<K> {
    /// With limits that hold for a period each.
    pub(super) fn per(period: Duration) -> Self {
        // A rate that was idle for a period has refilled: a new one in its place is the same.
        let keys = Cache::builder()
            .max_capacity(MOST_KEYS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(period * 2)
            .build();
        Self { period, keys }
    }

    pub(super) fn sweep(&self) {
        self.keys.run_pending_tasks();
    }

    /// Spends some of the key's units, and answers how many are left.
    ///
    /// # Errors
    /// How long until there is room.
    pub(super) fn spend(&self, key: K, units: u32, limit: NonZeroU32, now: Instant) -> Result<u32, Duration> {
        let limited = self.of(key, limit);
        limited.cell.spend(units, limited.quota, now)
    }

    /// The key's rate. A changed limit begins anew, so that it counts at once.
    pub(super) fn of(&self, key: K, limit: NonZeroU32) -> Arc<Limited> {
        if let Some(limited) = self.keys.get(&key).filter(|limited| limited.quota.limit == limit) {
            return limited;
        }
        let entry = self.keys.entry(key).and_upsert_with(|current| match current {
            Some(current) if current.value().quota.limit == limit => current.into_value(),
            _ => Arc::new(Limited { quota: Quota::new(limit, self.period), cell: Cell::default() }),
        });
        entry.into_value()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limit(limit: u32) -> NonZeroU32 {
        NonZeroU32::new(limit).expect("not zero")
    }

    #[test]
    fn a_limit_of_five_admits_five_at_once_and_one_more_each_twelve_seconds() {
        let (quota, cell, now) = (Quota::new(limit(5), MINUTE), Cell::default(), Instant::now());
        assert_eq!((0..7).filter(|_| cell.spend(1, quota, now).is_ok()).count(), 5);
        let wait = cell.spend(1, quota, now).expect_err("spent");
        assert!(cell.spend(1, quota, now + wait - Duration::from_nanos(1)).is_err());
        assert_eq!(cell.spend(1, quota, now + wait), Ok(0));
        assert_eq!(wait, Duration::from_secs(12));
        assert_eq!(cell.spent(quota, now + wait), 5);
        cell.refund(1, quota);
        assert_eq!(cell.spend(1, quota, now + wait), Ok(0), "what was given back may be spent again");
        assert!(cell.spend(6, quota, now + MINUTE * 9).is_err(), "more than a period's worth never fits");
    }

    #[test]
    fn any_limit_admits_just_itself_at_once() {
        for many in [1, 7, 60, 999_983] {
            let (quota, cell, now) = (Quota::new(limit(many), MINUTE), Cell::default(), Instant::now());
            assert_eq!((0..many + 9).filter(|_| cell.spend(1, quota, now).is_ok()).count(), many as usize);
        }
        let (quota, cell) = (Quota::new(NonZeroU32::MAX, MINUTE), Cell::default());
        assert!(cell.spend(u32::MAX, quota, Instant::now()).is_ok() && cell.spend(1, quota, Instant::now()).is_ok());
    }

    proptest! {
        /// The bound of PROTOCOL.md, section 11.
        #[test]
        fn in_t_seconds_a_limit_of_n_a_minute_admits_at_most_n_and_its_share(
            many in 1_u32..200, pauses in prop::collection::vec(0_u64..2_000, 1..400)
        ) {
            let (quota, cell, start) = (Quota::new(limit(many), MINUTE), Cell::default(), Instant::now());
            let (mut admitted, mut passed) = (0_u32, Duration::ZERO);
            for pause in pauses {
                passed += Duration::from_millis(pause);
                admitted += u32::from(cell.spend(1, quota, start + passed).is_ok());
                prop_assert!(f64::from(admitted) <= f64::from(many) * (1.0 + passed.as_secs_f64() / 60.0) + 1e-6);
            }
        }
    }
}
