//! Rates, each a full period's worth at once: a tenant's, spent only by calls it really signed, and a widget key's, spent by
//! the sessions it opens.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use shared::{ApiError, ErrorCode, SessionId, TenantId};
use uuid::Uuid;

use super::{
    floods::network,
    limiters::{AtHand, Limiters},
    tenant::TenantState,
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const MINUTE_SECONDS: u64 = 60;
const HOUR_SECONDS: u64 = 3600;

/// What widget keys open: sessions, an hour's worth at once, of which one address has a share: a key is public, and nobody is to
/// use it up alone.
pub(crate) struct SessionRates {
    keys: Limiters<Uuid>,
    shares: Limiters<(Uuid, IpAddr)>,
}

/// One of so many of a key's sessions is an address's at most; many people may be behind one.
const SHARE: u32 = 4;
const LEAST_SHARE: NonZeroU32 = NonZeroU32::new(30).expect("not zero");

impl Default for SessionRates {
    fn default() -> Self {
        let hour = Duration::from_secs(HOUR_SECONDS);
        Self { keys: Limiters::per(hour), shares: Limiters::per(hour) }
    }
}

impl SessionRates {
    /// Spends one session of the key's, for an address.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with `Retry-After`.
    pub(crate) fn admit(&self, key_id: Uuid, limit: NonZeroU32, client: IpAddr) -> Result<(), ApiError> {
        let share = NonZeroU32::new(limit.get() / SHARE).unwrap_or(NonZeroU32::MIN).max(LEAST_SHARE);
        // The address's first: what it may not have, it does not take from others.
        let spent = self.shares.spend((key_id, network(client)), share).and_then(|_| self.keys.spend(key_id, limit));
        spent.map(drop).map_err(|seconds| {
            let message = format!(
                "This widget key may open {limit} sessions an hour, {share} of them from one address. Come back in {seconds} s, \
                 or use a key with a higher rate_limit_per_hour."
            );
            ApiError::new(ErrorCode::RateLimited, message).retry_after_seconds(seconds)
        })
    }
}

/// What visitors send: frames, and the openings of sockets, by session, however many sockets it has.
pub(crate) struct VisitorRates {
    frames_per_min: NonZeroU32,
    sessions: Limiters<SessionId>,
}

impl VisitorRates {
    pub(crate) fn new(frames_per_min: NonZeroU32) -> Self {
        Self { frames_per_min, sessions: Limiters::per(Duration::from_secs(MINUTE_SECONDS)) }
    }

    /// Whether a session may send one more.
    pub(crate) fn admits(&self, session: SessionId) -> bool {
        self.sessions.spend(session, self.frames_per_min).is_ok()
    }
}

/// The rates of the tenants that called lately.
pub struct Rates(Limiters<TenantId>);

/// A tenant's rate, kept with what is known of the tenant: its calls need not look it up, and spend from the same one as those
/// that knew the tenant before a change.
#[derive(Debug, Default)]
pub struct RateAtHand(AtHand);

/// What a tenant has left, as the response headers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    limit: u32,
    remaining: u32,
    /// Until `remaining` is `limit` again, or, where nothing remains, until one call is.
    reset_seconds: u64,
}

impl Default for Rates {
    fn default() -> Self {
        Self(Limiters::per(Duration::from_secs(MINUTE_SECONDS)))
    }
}

impl Rates {
    /// Spends one call of the tenant's, at a Unix time in milliseconds.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] with `Retry-After`; the headers of [`Allowance`] come with it.
    pub fn admit(&self, tenant: &TenantState, now_ms: i64) -> Result<Allowance, (ApiError, Allowance)> {
        let limit = tenant.rate_limit_per_min.get();
        match self.0.spend_at_hand(&tenant.rate.0, tenant.id, tenant.rate_limit_per_min, now_ms) {
            Ok(remaining) => {
                let spent = u64::from(limit.saturating_sub(remaining));
                Ok(Allowance { limit, remaining, reset_seconds: (spent * MINUTE_SECONDS).div_ceil(u64::from(limit)) })
            }
            Err(seconds) => {
                let message = format!(
                    "This tenant may make {limit} calls a minute. Come back in {seconds} s, or ask for a higher rate_limit_per_min."
                );
                let error = ApiError::new(ErrorCode::RateLimited, message).retry_after_seconds(seconds);
                Err((error, Allowance { limit, remaining: 0, reset_seconds: seconds }))
            }
        }
    }
}

impl Allowance {
    /// `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-11.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Self { limit, remaining, reset_seconds } = *self;
        for (name, fields) in [
            (RATE_LIMIT_POLICY, [(";q=", limit.into()), (";w=", MINUTE_SECONDS)]),
            (RATE_LIMIT, [(";r=", remaining.into()), (";t=", reset_seconds)]),
        ] {
            let mut text = String::with_capacity(48);
            text.push_str("\"tenant\"");
            for (field, number) in fields {
                text.push_str(field);
                text.push_str(itoa::Buffer::new().format(number));
            }
            headers.insert(name, HeaderValue::try_from(text).expect("names and digits are visible ASCII"));
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::signature::TenantKey;

    use super::*;
    use crate::domain::tenant::Generation;

    const NOW: i64 = 1_718_960_000_000;

    fn tenant(id: TenantId, limit: u32) -> TenantState {
        TenantState {
            id,
            suspended: false,
            key: TenantKey::new(b"k"),
            rate_limit_per_min: NonZeroU32::new(limit).expect("not zero"),
            rate: Default::default(),
            generation: Generation::next(),
        }
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_no_more() {
        let rates = Rates::default();
        let (one, other) = (tenant(TenantId::generate(), 3), tenant(TenantId::generate(), 3));
        let left: Vec<_> = (0..3).map(|_| rates.admit(&one, NOW).expect("room").remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let (error, allowance) = rates.admit(&one, NOW).expect_err("spent");
        assert_eq!((error.code(), allowance.remaining), (ErrorCode::RateLimited, 0));
        assert!((1..=20).contains(&allowance.reset_seconds), "a third of a minute each: {allowance:?}");
        assert!(rates.admit(&other, NOW).is_ok(), "a tenant spends its own");
    }

    #[test]
    fn no_address_uses_up_a_key_alone() {
        let (rates, key) = (SessionRates::default(), Uuid::new_v4());
        let limit = NonZeroU32::new(200).expect("not zero");
        let begun = |address: &str| {
            let address = address.parse().expect("an address");
            (0..300).filter(|_| rates.admit(key, limit, address).is_ok()).count()
        };
        assert_eq!(
            [begun("192.0.2.1"), begun("192.0.2.2"), begun("2001:db8::1"), begun("2001:db8::2")],
            [50, 50, 50, 0]
        );
        assert_eq!([begun("192.0.2.3"), begun("192.0.2.4")], [50, 0], "the key's own limit is spent");
    }

    #[test]
    fn a_changed_limit_counts_at_once() {
        let rates = Rates::default();
        let id = TenantId::generate();
        rates.admit(&tenant(id, 1), NOW).expect("room");
        rates.admit(&tenant(id, 1), NOW).expect_err("spent");
        assert_eq!(rates.admit(&tenant(id, 100), NOW).expect("raised").remaining, 99);
        rates.admit(&tenant(id, 1), NOW).expect("lowered, and new");
        rates.admit(&tenant(id, 1), NOW).expect_err("spent");
    }

    #[test]
    fn what_is_known_anew_of_a_tenant_gives_it_nothing_new_to_spend() {
        let rates = Rates::default();
        let id = TenantId::generate();
        let (before, after) = (tenant(id, 2), tenant(id, 2));
        rates.admit(&before, NOW).expect("room");
        rates.admit(&after, NOW).expect("room");
        rates.admit(&before, NOW + 1).expect_err("spent by both");
        // Forgotten where rates are kept, as after a long pause: what is at hand is put back.
        rates.0.forget(id);
        rates.admit(&before, NOW + 40_000).expect_err("spent");
        rates.admit(&tenant(id, 2), NOW + 40_000).expect_err("spent");
    }

    #[test]
    fn the_headers_follow_the_draft() {
        let mut headers = HeaderMap::new();
        Allowance { limit: 60, remaining: 12, reset_seconds: 48 }.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"tenant\";q=60;w=60");
        assert_eq!(headers["ratelimit"], "\"tenant\";r=12;t=48");
    }
}
