//! Time as the machines count it, and how far the clocks of two processes may differ.

/// A point in time on the owner's own clock, in milliseconds. It must go on while the machine is suspended
/// (`CLOCK_BOOTTIME` on Linux). Two processes never compare theirs; they only trust each other's to run at one speed,
/// within [`DRIFT_PERCENT`].
pub type Millis = u64;

/// The longest lease that is granted anywhere, in milliseconds: those who wait for a change to return give up after half a
/// minute.
pub const LONGEST_LEASE_MS: u64 = 25_000;

/// How far two clocks may differ over a lease. Percent.
pub const DRIFT_PERCENT: u64 = 1;

/// A period as the process that relies on it counts it: shortened by the drift that clocks may have. Otherwise a gateway could still
/// use a lease that its replica counts as over.
pub(crate) fn shortened(period_ms: u64) -> u64 {
    period_ms - period_ms * DRIFT_PERCENT / 100
}

/// A period as a process that waits for its end counts it: lengthened by the drift that clocks may have.
pub(crate) fn lengthened(period_ms: u64) -> u64 {
    period_ms + (period_ms * DRIFT_PERCENT).div_ceil(100)
}
