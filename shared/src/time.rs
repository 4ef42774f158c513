//! Points in time as the wire shows them: RFC 3339 in UTC, to the millisecond.

use jiff::Timestamp;

/// Now, cut to the millisecond so that what is stored is what was answered.
#[must_use]
pub fn now() -> Timestamp {
    from_unix_ms(Timestamp::now().as_millisecond())
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_unix_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The point `ms` milliseconds after the Unix epoch; outside what a calendar can hold, the nearest that it can.
#[must_use]
pub fn from_unix_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
