//! Pauses between attempts.

use std::time::Duration;

/// Pauses that grow. Each has a random length, so that gateways do not come back all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Half to all of a length that doubles with each.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.longest.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.longest = (self.longest * 2).min(Self::LONGEST);
        pause
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { longest: Self::FIRST }
    }
}
