//! The same signed request twice: refused within the window, forgotten after it. PROTOCOL.md, section 4, *Replays*.
//!
//! HMAC#1 signs a body and a millisecond, and neither method nor path. The published client sends one text to many conversations
//! in one millisecond under one signature, so a signature with a body is good once for each [`Target`]. A signature without a
//! body is good once. A signature first used for a read is refused for every other use. Only verified signatures are kept:
//! a stranger cannot fill the memory.
//!
//! A call reserves its signature before anything is spent on it, and the reservation is given back when the relay itself refuses
//! the call or nothing of it reached the backend: then the same bytes may come again.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use wire::signature::{Signature, WINDOW_MS};

use crate::limits::signature_use::{LEAST_TARGET, Target, Use};

/// Signatures are kept by the time they were signed, in slices that are dropped whole. Milliseconds.
const SLICE_MS: i64 = 1_000;

/// How much longer than a call could be admitted its signature is kept: for clocks that are set back, and threads that are late.
const SLACK_MS: i64 = 5_000;

/// Enough that two cores rarely meet.
const SHARDS: usize = 16;

/// Targets of one signature.
pub(crate) const MOST_TARGETS: usize = 128;

/// Values of an entry for the uses that have no target.
const READ: u32 = 0;
const ONCE: u32 = LEAST_TARGET - 1;

/// The signature was used before, or for as many targets as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replayed;

/// What was admitted within the window.
#[derive(Default)]
pub(crate) struct ReplayGuard {
    shards: [Mutex<Shard>; SHARDS],
}

/// A signature that is taken for one use. Dropped unspent, it is given back.
#[must_use = "dropping it gives the signature back"]
pub(crate) struct Reservation<'a> {
    guard: &'a ReplayGuard,
    /// `None` where there is nothing to give back: a read takes nothing.
    held: Option<(Signature, i64, u32)>,
    is_spent: bool,
}

impl Reservation<'_> {
    /// The call goes out: the signature stays taken.
    pub(crate) fn spend(&mut self) {
        self.is_spent = true;
    }

    /// Nothing of the call went out after all.
    pub(crate) fn give_back(mut self) {
        self.is_spent = false;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some((signature, timestamp_ms, value)) = self.held.take().filter(|_| !self.is_spent) {
            self.guard.give_back(&signature, timestamp_ms, value);
        }
    }
}

impl ReplayGuard {
    /// Takes a verified signature for a use. The caller has checked that `timestamp_ms` is within the window.
    ///
    /// # Errors
    /// [`Replayed`], also while another call holds the reservation.
    pub(crate) fn reserve(
        &self,
        signature: &Signature,
        timestamp_ms: i64,
        used: Use,
        now_ms: i64,
    ) -> Result<Reservation<'_>, Replayed> {
        let (name, shard) = name(signature);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let slice = shard.slice(timestamp_ms, now_ms);
        let value = match used {
            Use::Read => {
                // It is never given back: it takes nothing from a later read.
                slice.first.entry(name).or_insert(READ);
                return Ok(Reservation { guard: self, held: None, is_spent: false });
            }
            Use::Once => ONCE,
            Use::Write(Target(target)) => target,
        };
        let first = match slice.first.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                None
            }
            Entry::Occupied(entry) => Some(*entry.get()),
        };
        if let Some(first) = first {
            slice.take_another(name, first, value)?;
        }
        Ok(Reservation { guard: self, held: Some((*signature, timestamp_ms, value)), is_spent: false })
    }

    fn give_back(&self, signature: &Signature, timestamp_ms: i64, value: u32) {
        let (name, shard) = name(signature);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let number = timestamp_ms.div_euclid(SLICE_MS);
        let Some((_, slice)) = shard.slices.iter_mut().find(|(other, _)| *other == number) else { return };
        slice.give_back(name, value);
    }
}

/// The signatures of one span of time.
#[derive(Default)]
struct Slice {
    /// Each signature and the first thing it was used for. 12 bytes an entry: memory is what a replay guard costs.
    first: HashMap<Name, u32, BuildHasherDefault<AlreadyRandom>>,
    /// The further targets of the few that have several.
    others: HashMap<Name, Vec<u32>, BuildHasherDefault<AlreadyRandom>>,
}

impl Slice {
    fn take_another(&mut self, name: Name, first: u32, value: u32) -> Result<(), Replayed> {
        let is_target = |value: u32| value >= LEAST_TARGET;
        if !is_target(first) || !is_target(value) || first == value {
            return Err(Replayed);
        }
        let others = self.others.entry(name).or_default();
        // The first is a target too.
        if others.len() + 1 >= MOST_TARGETS || others.contains(&value) {
            return Err(Replayed);
        }
        others.push(value);
        Ok(())
    }

    fn give_back(&mut self, name: Name, value: u32) {
        if let Some(others) = self.others.get_mut(&name) {
            if let Some(at) = others.iter().position(|other| *other == value) {
                others.swap_remove(at);
            } else if self.first.get(&name) == Some(&value)
                && let Some(other) = others.pop()
            {
                self.first.insert(name, other);
            }
            if others.is_empty() {
                self.others.remove(&name);
            }
        } else if self.first.get(&name) == Some(&value) {
            self.first.remove(&name);
        }
    }
}

#[derive(Default)]
struct Shard {
    /// Slices by number, oldest first.
    slices: VecDeque<(i64, Slice)>,
}

impl Shard {
    fn slice(&mut self, timestamp_ms: i64, now_ms: i64) -> &mut Slice {
        // A slice whose last millisecond has left the window can hold nothing that would be admitted.
        while self.slices.front().is_some_and(|(number, _)| (number + 1) * SLICE_MS + WINDOW_MS + SLACK_MS < now_ms) {
            self.slices.pop_front();
        }
        let number = timestamp_ms.div_euclid(SLICE_MS);
        let place = self.slices.partition_point(|(other, _)| *other < number);
        if self.slices.get(place).is_none_or(|(other, _)| *other != number) {
            // About as many as in the slice before: growing means hashing all of them again.
            let expected = place.checked_sub(1).map_or(0, |before| self.slices[before].1.first.len());
            let first = HashMap::with_capacity_and_hasher(expected, Default::default());
            self.slices.insert(place, (number, Slice { first, others: HashMap::default() }));
        }
        &mut self.slices[place].1
    }
}

/// 64 bits of a signature, as two words so that an entry takes 12 bytes and not 16.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name([u32; 2]);

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

/// A signature's name and its shard, from other bits. At 80 000 calls a second two that are unlike share a name, a slice and a
/// shard once in some billion windows, and then one of them is refused.
fn name(signature: &Signature) -> (Name, usize) {
    let [a, b, c, d, e, f, g, h, shard, ..] = *signature.as_bytes();
    let words = [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])];
    (Name(words), usize::from(shard) % SHARDS)
}

/// Signatures are already spread evenly: hashing them again buys nothing.
#[derive(Default)]
struct AlreadyRandom(u64);

impl Hasher for AlreadyRandom {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use wire::signature::{BodyDigest, TenantKey};

    use super::*;

    const NOW: i64 = 1_718_960_000_000;

    fn signature(body: u32) -> Signature {
        TenantKey::new(b"k").sign("1", &BodyDigest::of(&body.to_be_bytes()))
    }

    fn write(target: u32) -> Use {
        Use::Write(Target::new("POST", &target.to_be_bytes()))
    }

    /// Takes it for good; whether it was free.
    fn spend(guard: &ReplayGuard, body: u32, used: Use) -> bool {
        guard.reserve(&signature(body), NOW, used, NOW).map(|mut held| held.spend()).is_ok()
    }

    #[test]
    fn a_request_is_taken_once_as_long_as_it_could_be_taken() {
        for used in [Use::Once, write(1)] {
            let guard = ReplayGuard::default();
            // Signed by a clock that is ahead as far as is allowed: it stays admissible for the window twice over.
            let timestamp = NOW + WINDOW_MS;
            let taken = |later| guard.reserve(&signature(1), timestamp, used, NOW + later).map(|mut held| held.spend());
            assert!(taken(0).is_ok());
            for later in [0, 1, WINDOW_MS, 2 * WINDOW_MS] {
                assert!(taken(later).is_err(), "{later} ms later");
            }
        }
    }

    #[test]
    fn a_body_goes_once_to_each_of_128_targets() {
        let guard = ReplayGuard::default();
        let taken = (0..200).filter(|target| spend(&guard, 1, write(*target))).count();
        assert_eq!(taken, MOST_TARGETS);
        assert!((0..200).all(|target| !spend(&guard, 1, write(target))), "each of them once");
        assert!(spend(&guard, 2, write(0)), "another body");
    }

    #[test]
    fn what_was_signed_for_reading_is_taken_for_everything_else() {
        let guard = ReplayGuard::default();
        assert!(spend(&guard, 1, Use::Read) && spend(&guard, 1, Use::Read), "reading again is no replay");
        assert!(!spend(&guard, 1, Use::Once) && !spend(&guard, 1, write(1)));
        // A write that came first keeps what it may do.
        assert!(spend(&guard, 2, write(1)) && spend(&guard, 2, Use::Read) && spend(&guard, 2, write(2)));
    }

    #[test]
    fn what_is_given_back_may_come_again_once_and_what_is_held_may_not() {
        let guard = ReplayGuard::default();
        for used in [Use::Once, write(1)] {
            let reserve = || guard.reserve(&signature(if used == Use::Once { 1 } else { 2 }), NOW, used, NOW);
            let held = reserve().expect("free");
            assert!(reserve().is_err(), "it is reserved");
            drop(held);
            reserve().expect("given back").spend();
            assert!(reserve().is_err(), "and spent");
        }
        // Given back among others, in any order.
        let holds: Vec<_> = (0..5).map(|target| guard.reserve(&signature(3), NOW, write(target), NOW)).collect();
        drop(holds);
        assert!((0..MOST_TARGETS as u32).all(|target| spend(&guard, 3, write(target))), "all places are free again");
        assert!(!spend(&guard, 3, write(1000)));
    }

    #[test]
    fn what_can_no_longer_be_admitted_is_forgotten() {
        let guard = ReplayGuard::default();
        for second in 0..600_u32 {
            let now = NOW + i64::from(second) * 1000;
            for call in 0..50 {
                guard.reserve(&signature(second * 50 + call), now, write(1), now).expect("fresh").spend();
            }
        }
        let shard = |shard: &Mutex<Shard>| {
            shard.lock().expect("not poisoned").slices.iter().map(|(_, slice)| slice.first.len()).sum::<usize>()
        };
        let kept: usize = guard.shards.iter().map(shard).sum();
        // 50 a second for the window, the slack and two slices; shards that were not touched since keep theirs.
        let most = 50 * usize::try_from((WINDOW_MS + SLACK_MS + 3 * SLICE_MS) / 1000).expect("positive");
        assert!(kept <= most, "{kept} kept, at most {most} can matter");
    }

    #[test]
    fn an_entry_takes_twelve_bytes() {
        assert_eq!(size_of::<(Name, u32)>(), 12);
    }

    proptest! {
        /// Against the simplest thing that could be right: remember everything.
        #[test]
        fn agrees_with_a_memory_that_never_forgets(
            calls in prop::collection::vec(
                (0_u32..40, 0_u32..4, any::<bool>(), -WINDOW_MS..=WINDOW_MS, 0_i64..20_000), 1..200
            )
        ) {
            let guard = ReplayGuard::default();
            let mut seen = HashSet::new();
            let mut now = NOW;
            let mut signed_at = HashMap::new();
            for (body, target, given_back, offset, passed) in calls {
                now += passed;
                // One signature has one timestamp: the one it signed.
                let timestamp = *signed_at.entry(body).or_insert(now + offset);
                if (timestamp - now).abs() > WINDOW_MS {
                    continue;
                }
                let reserved = guard.reserve(&signature(body), timestamp, write(target), now);
                prop_assert_eq!(reserved.is_ok(), !seen.contains(&(body, target)));
                if !given_back && let Ok(mut reservation) = reserved {
                    reservation.spend();
                    seen.insert((body, target));
                }
            }
        }
    }
}
