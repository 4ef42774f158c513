//! Points in time as the wire shows them (RFC 3339 in UTC, to the millisecond), and the clock that leases are counted on.

use std::time::Duration;

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

/// A duration in whole milliseconds.
#[must_use]
pub fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since this machine started, those it was suspended included: for periods that others count too.
#[must_use]
pub fn since_boot_ms() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    // Elsewhere than on Linux the monotonic clock is the best there is.
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let at = clock_gettime(CLOCK);
    u64::try_from(at.tv_sec).unwrap_or_default() * 1000 + u64::try_from(at.tv_nsec).unwrap_or_default() / 1_000_000
}
