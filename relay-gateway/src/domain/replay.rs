//! The same signed request twice: refused within the window, forgotten after it.
//!
//! A signature stands for one body and one millisecond of one tenant, so it is the request's name; method and path are not
//! in it, which is why a captured call cannot be replayed on another path either, nor a captured read as a write. Only
//! verified signatures are kept: a stranger cannot fill the memory. Kept per gateway and in memory (see ARCHITECTURE.md
//! for what that means).

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, PoisonError},
};

use shared::{
    ApiError, ErrorCode,
    signature::{Signature, WINDOW_MS},
};

/// Signatures are kept by the time they were signed, in slices that are dropped whole. Milliseconds.
const SLICE_MS: i64 = 1_000;

/// How much longer than a call could be admitted its signature is kept: for clocks that are set back, and threads that are late.
const SLACK_MS: i64 = 5_000;

/// Enough that two cores rarely meet.
const SHARDS: usize = 16;

/// What was admitted within the window.
#[derive(Default)]
pub struct ReplayGuard {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    /// Slices by number, oldest first.
    slices: VecDeque<(i64, HashSet<u64, BuildHasherDefault<AlreadyRandom>>)>,
}

impl ReplayGuard {
    /// Admits a verified signature the first time. The caller has checked that `timestamp_ms` is within the window.
    ///
    /// # Errors
    /// [`ErrorCode::ReplayedRequest`].
    pub fn admit(&self, signature: &Signature, timestamp_ms: i64, now_ms: i64) -> Result<(), ApiError> {
        let (name, shard) = name(signature);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.insert(name, timestamp_ms, now_ms) {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::ReplayedRequest,
            "This signature was already taken. It stands for one body and one millisecond, whatever the method and path: to \
             send a call again, or another one with the same body, sign it with a later time.",
        ))
    }
}

impl Shard {
    fn insert(&mut self, name: u64, timestamp_ms: i64, now_ms: i64) -> bool {
        // A slice whose last millisecond has left the window can hold nothing that would be admitted.
        while self.slices.front().is_some_and(|(number, _)| (number + 1) * SLICE_MS + WINDOW_MS + SLACK_MS < now_ms) {
            self.slices.pop_front();
        }
        let number = timestamp_ms.div_euclid(SLICE_MS);
        let place = self.slices.partition_point(|(other, _)| *other < number);
        if self.slices.get(place).is_none_or(|(other, _)| *other != number) {
            // About as many as in the slice before: growing means hashing all of them again.
            let expected = place.checked_sub(1).map_or(0, |before| self.slices[before].1.len());
            self.slices.insert(place, (number, HashSet::with_capacity_and_hasher(expected, Default::default())));
        }
        self.slices[place].1.insert(name)
    }
}

/// 64 bits of a signature name it, and the shard comes from others: memory is what a replay guard costs. At 80 000 calls a second
/// two that are unlike share a name, a slice and a shard once in some billion windows, and then one of them is refused.
fn name(signature: &Signature) -> (u64, usize) {
    let [a, b, c, d, e, f, g, h, shard, ..] = *signature.as_bytes();
    (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), usize::from(shard) % SHARDS)
}

/// Signatures are already spread evenly: hashing them again buys nothing.
#[derive(Default)]
struct AlreadyRandom(u64);

impl Hasher for AlreadyRandom {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::signature::{BodyDigest, TenantKey};

    use super::*;

    const NOW: i64 = 1_718_960_000_000;

    fn signature(body: u32) -> Signature {
        TenantKey::new(b"k").sign("1", &BodyDigest::of(&body.to_be_bytes()))
    }

    #[test]
    fn a_request_is_taken_once_as_long_as_it_could_be_taken() {
        let guard = ReplayGuard::default();
        // Signed by a clock that is ahead as far as is allowed: it stays admissible for the window twice over.
        let timestamp = NOW + WINDOW_MS;
        assert!(guard.admit(&signature(1), timestamp, NOW).is_ok());
        for later in [0, 1, WINDOW_MS, 2 * WINDOW_MS] {
            assert!(guard.admit(&signature(1), timestamp, NOW + later).is_err(), "{later} ms later");
        }
        assert!(guard.admit(&signature(2), timestamp, NOW).is_ok());
    }

    #[test]
    fn what_can_no_longer_be_admitted_is_forgotten() {
        let guard = ReplayGuard::default();
        for second in 0..600_u32 {
            let now = NOW + i64::from(second) * 1000;
            for call in 0..50 {
                guard.admit(&signature(second * 50 + call), now, now).expect("fresh");
            }
        }
        let kept: usize = guard
            .shards
            .iter()
            .map(|shard| shard.lock().expect("not poisoned").slices.iter().map(|(_, slice)| slice.len()).sum::<usize>())
            .sum();
        // 50 a second for the window, the slack and two slices; shards that were not touched since keep theirs.
        let most = 50 * usize::try_from((WINDOW_MS + SLACK_MS + 3 * SLICE_MS) / 1000).expect("positive");
        assert!(kept <= most, "{kept} kept, at most {most} can matter");
    }

    proptest! {
        /// Against the simplest thing that could be right: remember everything.
        #[test]
        fn agrees_with_a_memory_that_never_forgets(
            calls in prop::collection::vec((0_u32..40, -WINDOW_MS..=WINDOW_MS, 0_i64..20_000), 1..200)
        ) {
            let guard = ReplayGuard::default();
            let mut seen = HashSet::new();
            let mut now = NOW;
            let mut signed_at = std::collections::HashMap::new();
            for (body, offset, passed) in calls {
                now += passed;
                // One signature has one timestamp: the one it signed.
                let timestamp = *signed_at.entry(body).or_insert(now + offset);
                if (timestamp - now).abs() > WINDOW_MS {
                    continue;
                }
                prop_assert_eq!(guard.admit(&signature(body), timestamp, now).is_ok(), seen.insert(body));
            }
        }
    }
}
