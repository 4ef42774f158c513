//! Wrong admin keys, by address: an address that has come with too many is refused before its key is looked at.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use service::edge::network;

use super::refused::AdminKeyRefused;

/// Wrong keys of one address in a minute.
const MOST: u32 = 30;
const PERIOD: Duration = Duration::from_secs(60);

/// Addresses that are remembered. If more come, all counts start again: that many addresses still cannot guess a long key.
const MOST_ADDRESSES: usize = 100_000;

/// The guesses of this minute. Cloning shares them.
#[derive(Clone)]
pub(super) struct Guesses(Arc<Mutex<Minute>>);

struct Minute {
    began: Instant,
    wrong: HashMap<IpAddr, u32>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Minute { began: Instant::now(), wrong: HashMap::new() })))
    }

    /// Whether an address may try.
    ///
    /// # Errors
    /// [`AdminKeyRefused::TooMany`].
    pub(super) fn check(&self, address: IpAddr, now: Instant) -> Result<(), AdminKeyRefused> {
        let minute = self.minute(now);
        if minute.wrong.get(&network(address)).is_none_or(|wrong| *wrong < MOST) {
            return Ok(());
        }
        let left = PERIOD.saturating_sub(now.saturating_duration_since(minute.began)).as_secs() + 1;
        Err(AdminKeyRefused::TooMany { retry_after_seconds: left })
    }

    /// A wrong key came from an address.
    pub(super) fn count(&self, address: IpAddr, now: Instant) {
        let mut minute = self.minute(now);
        if minute.wrong.len() >= MOST_ADDRESSES {
            minute.wrong.clear();
        }
        *minute.wrong.entry(network(address)).or_default() += 1;
    }

    fn minute(&self, now: Instant) -> std::sync::MutexGuard<'_, Minute> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(minute.began) >= PERIOD {
            *minute = Minute { began: now, wrong: HashMap::new() };
        }
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_after_too_many_wrong_keys_until_the_minute_is_over() {
        let (guesses, began) = (Guesses::new(), Instant::now());
        let [one, neighbour, other] =
            ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| text.parse().expect("an address"));
        for _ in 0..MOST {
            guesses.check(one, began).expect("not yet");
            guesses.count(one, began);
        }
        let refused = guesses.check(neighbour, began).expect_err("one network");
        assert!(matches!(refused, AdminKeyRefused::TooMany { retry_after_seconds } if retry_after_seconds <= 61));
        guesses.check(other, began).expect("another network");
        guesses.check(one, began + PERIOD * 2).expect("the minute is over");
    }
}
