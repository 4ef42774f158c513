//! Points in time as the wire shows them (RFC 3339 in UTC, to the millisecond), and the clock that leases are counted on.

use std::{fmt, time::Duration};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time as every answer, frame and message shows it: with three digits after the second, whatever they are, as in
/// `2026-11-26T10:00:00.000Z`. So times can be compared as texts, and no reader meets a form that it meets once in a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireTime(Timestamp);

impl WireTime {
    /// The point `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub fn from_unix_ms(ms: i64) -> Self {
        Self(from_unix_ms(ms))
    }
}

impl From<Timestamp> for WireTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        f.write_str(&PRINTER.timestamp_to_string(&self.0))
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self)
    }
}

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

/// The Unix millisecond that lies a duration after another one.
#[must_use]
pub fn after_unix_ms(at: i64, duration: Duration) -> i64 {
    at.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_after_the_second_whatever_they_are() {
        let second = Timestamp::from_second(1_795_687_200).expect("a time");
        for (nanos, digits) in [(0, "000"), (1, "000"), (5_000_000, "005"), (120_000_000, "120"), (999_999_999, "999")]
        {
            let at = WireTime(Timestamp::new(second.as_second(), nanos).expect("a time"));
            let text = format!("2026-11-26T10:00:00.{digits}Z");
            assert_eq!((at.to_string(), serde_json::json!(at)), (text.clone(), serde_json::json!(text)));
        }
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let text = WireTime::from_unix_ms(ms).to_string();
            assert!(
                text.parse::<Timestamp>().is_ok() && text.ends_with('Z') && text.as_bytes()[text.len() - 5] == b'.',
                "{text}"
            );
        }
    }
}
