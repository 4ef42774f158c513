//! `Retry-After` (RFC 9110, section 10.2.3): how long a receiver asks to be left alone.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

/// Reads seconds or an HTTP date; a date that is over is no time at all. `None` where it is neither.
#[must_use]
pub(super) fn read(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now: Timestamp = "2026-11-26T10:00:00Z".parse().expect("a time");
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Thu, 26 Nov 2026 10:01:30 GMT", Some(90)),
            ("Thu, 26 Nov 2026 09:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("Thu, 99 Nov 2026 10:01:30 GMT", None),
        ] {
            assert_eq!(read(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
