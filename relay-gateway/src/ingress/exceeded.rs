//! What a caller that has reached a limit is told: which limit, and when to come back.

use http::{HeaderMap, HeaderName, HeaderValue};
use service::{ApiError, body::Room};
use wire::ErrorCode;

use crate::limits::{Allowance, Exceeded, HeldBytes, Limit, PERIOD_S};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl From<Exceeded> for ApiError {
    fn from(Exceeded { limit, retry_after_s }: Exceeded) -> Self {
        let message = match limit {
            Limit::TenantRate(limit) => format!(
                "This tenant may make {limit} calls a minute (rate_limit_per_min). Come back in {retry_after_s} s, or ask for a \
                 higher limit."
            ),
            Limit::FailedCalls => format!(
                "Too many failed requests from this address (unverified_per_min). Check the keys and signatures it sends, and \
                 come back in {retry_after_s} s."
            ),
            Limit::AddressSessions => format!(
                "Too many visitor sessions begun from this address (sessions_per_min). Come back in {retry_after_s} s."
            ),
            Limit::OperatorCalls => format!(
                "This operator calls more often than it may (operator_calls_per_min). Come back in {retry_after_s} s."
            ),
            Limit::KeySessions(limit) => format!(
                "This widget key may open {limit} sessions an hour (its rate_limit_per_hour). Come back in {retry_after_s} s, or \
                 use a key with a higher limit."
            ),
            Limit::KeyShare => format!(
                "This address has its share of the sessions that this widget key may still open (its rate_limit_per_hour). Come \
                 back in {retry_after_s} s."
            ),
            Limit::Connections => format!(
                "This address has as many open connections as it may (max_connections_per_address). Close some, or come back in \
                 {retry_after_s} s."
            ),
            Limit::AddressMemory => format!(
                "Too many large unfinished bodies from this address (body_memory_per_address_bytes). Send fewer at once, and \
                 come back in {retry_after_s} s."
            ),
            Limit::Memory => {
                "The relay holds as many unfinished bodies as it may (body_memory_bytes). Nothing was forwarded: send the \
                 request again later."
                    .to_owned()
            }
        };
        let code = if limit == Limit::Memory { ErrorCode::Overloaded } else { ErrorCode::RateLimited };
        Self::new(code, message).retry_after_seconds(retry_after_s)
    }
}

impl Room for HeldBytes<'_> {
    fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        Ok(HeldBytes::grow_to(self, bytes)?)
    }
}

/// Writes `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-11.
pub(super) fn write_allowance(allowance: Allowance, headers: &mut HeaderMap) {
    let Allowance { limit, remaining, reset_s } = allowance;
    for (name, fields) in [
        (RATE_LIMIT_POLICY, [(";q=", limit.into()), (";w=", PERIOD_S)]),
        (RATE_LIMIT, [(";r=", remaining.into()), (";t=", reset_s)]),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_follow_the_draft() {
        let mut headers = HeaderMap::new();
        write_allowance(Allowance { limit: 60, remaining: 12, reset_s: 48 }, &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"tenant\";q=60;w=60");
        assert_eq!(headers["ratelimit"], "\"tenant\";r=12;t=48");
    }

    #[test]
    fn each_limit_is_named_by_its_setting() {
        for (limit, setting) in [
            (Limit::TenantRate(60), "rate_limit_per_min"),
            (Limit::FailedCalls, "unverified_per_min"),
            (Limit::AddressSessions, "sessions_per_min"),
            (Limit::KeySessions(9), "rate_limit_per_hour"),
            (Limit::KeyShare, "rate_limit_per_hour"),
            (Limit::Connections, "max_connections_per_address"),
            (Limit::AddressMemory, "body_memory_per_address_bytes"),
            (Limit::Memory, "body_memory_bytes"),
        ] {
            let error = ApiError::from(Exceeded { limit, retry_after_s: 7 });
            assert!(error.message().contains(setting), "{error}");
            assert_eq!(error.retry_after(), Some(7));
        }
    }
}
