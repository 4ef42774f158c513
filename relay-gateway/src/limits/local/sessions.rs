//! Visitors' sessions that are begun: by address, and by widget key.
//!
//! A widget key is public, so a few addresses must not use it up. An address may hold a quarter as many sessions as the key has left.
//! So the first address gets at most a fifth of the key's sessions, the next a fifth of the rest, and so on. Each may hold at least 5,
//! if the key has them.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use uuid::Uuid;

use service::edge::network;

use super::gcra::{Rates, whole_seconds};
use crate::limits::limit::{Exceeded, Limit};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// One address may hold one of so many of a key's remaining sessions.
const SHARE: u32 = 4;
/// What an address may hold however little is left: a visitor comes back, and has a phone too.
const LEAST_SHARE: u32 = 5;
/// Both, for the fleet's count.
pub(crate) const SHARES: (u32, u32) = (SHARE, LEAST_SHARE);

pub(crate) struct SessionRates {
    per_address: NonZeroU32,
    addresses: Rates<IpAddr>,
    keys: Rates<Uuid>,
    shares: Rates<(Uuid, IpAddr)>,
}

impl SessionRates {
    pub(crate) fn new(per_address: NonZeroU32) -> Self {
        Self { per_address, addresses: Rates::per(MINUTE), keys: Rates::per(HOUR), shares: Rates::per(HOUR) }
    }

    /// Spends one session of the address's, whatever the key.
    ///
    /// # Errors
    /// [`Limit::AddressSessions`].
    pub(crate) fn begin_at(&self, client: IpAddr, now: Instant) -> Result<(), Exceeded> {
        let spent = self.addresses.spend(network(client), 1, self.per_address, now).map(drop);
        spent.map_err(|wait| Exceeded { limit: Limit::AddressSessions, retry_after_s: whole_seconds(wait) })
    }

    /// Counts a session that the fleet admitted. If this gateway must count alone later, its share is spent already.
    pub(crate) fn note(&self, key: Uuid, limit: NonZeroU32, each: u32, client: IpAddr, now: Instant) {
        for limited in [self.keys.of(key, limit), self.shares.of((key, network(client)), limit)] {
            limited.cell.note(each.min(limit.get()), limited.quota, now);
        }
    }

    /// Spends one session of the key's, for an address. It counts as `each` sessions: 1, or the number of gateways where each of them counts
    /// alone.
    ///
    /// # Errors
    /// [`Limit::KeyShare`], [`Limit::KeySessions`]; then nothing of the key is spent.
    pub(crate) fn begin(
        &self,
        key: Uuid,
        limit: NonZeroU32,
        each: u32,
        client: IpAddr,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let (client, each) = (network(client), each.clamp(1, limit.get()));
        let exceeded = |limit| move |wait| Exceeded { limit, retry_after_s: whole_seconds(wait) };
        let (whole, share) = (self.keys.of(key, limit), self.shares.of((key, client), limit));
        let left = limit.get().saturating_sub(whole.cell.spent(whole.quota, now));
        let allowed = (left / SHARE).max(LEAST_SHARE.saturating_mul(each).min(limit.get()));
        // Spent first and given back where it was too much, so that many at once do not pass together.
        share.cell.spend(each, share.quota, now).map_err(exceeded(Limit::KeyShare))?;
        if share.cell.spent(share.quota, now) > allowed {
            share.cell.refund(each, share.quota);
            // One of the address's own comes back in its turn.
            return Err(exceeded(Limit::KeyShare)(HOUR / limit.get() * each));
        }
        whole.cell.spend(each, whole.quota, now).map(drop).map_err(|wait| {
            share.cell.refund(each, share.quota);
            exceeded(Limit::KeySessions(limit.get()))(wait)
        })
    }

    pub(crate) fn sweep(&self) {
        self.addresses.sweep();
        self.keys.sweep();
        self.shares.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("not zero")
    }

    #[test]
    fn a_few_addresses_do_not_use_up_a_key() {
        let (rates, key, now) = (SessionRates::new(many(10_000)), Uuid::new_v4(), Instant::now());
        let begun =
            |address: IpAddr| (0..500).filter(|_| rates.begin(key, many(1000), 1, address, now).is_ok()).count();
        let greedy: Vec<_> = (1..=12).map(|host| begun(IpAddr::from([192, 0, 2, host]))).collect();
        assert!(greedy[0] <= 250 && greedy.is_sorted_by(|before, after| before >= after), "{greedy:?}");
        assert!(begun("198.51.100.7".parse().expect("an address")) >= 5, "others still chat: {greedy:?}");
        assert!(begun("2001:db8::1".parse().expect("an address")) >= 5);
        assert_eq!(begun("2001:db8::2".parse().expect("an address")), 0, "a /64 is one address");
    }

    #[test]
    fn a_small_key_opens_what_it_says_and_an_address_what_it_may() {
        let (rates, now) = (SessionRates::new(many(5)), Instant::now());
        let client: IpAddr = "192.0.2.1".parse().expect("an address");
        let key = Uuid::new_v4();
        let ends: Vec<_> =
            (0..4).map(|_| rates.begin(key, many(3), 1, client, now).map_err(|over| over.limit)).collect();
        assert_eq!(ends[..3], [Ok(()), Ok(()), Ok(())]);
        assert!(ends[3].is_err());
        let ends: Vec<_> = (0..6).map(|_| rates.begin_at(client, now).map_err(|over| over.limit)).collect();
        assert_eq!(ends[..5], [Ok(()); 5]);
        assert_eq!(ends[5], Err(Limit::AddressSessions), "a sixth in one minute");
    }
}
