//! The time that a whole attempt may take, its name look-up included.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failed::{AttemptFailed, Phase};

/// When an attempt must have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// An attempt that begins now.
    #[must_use]
    pub(crate) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// Waits for one phase of the attempt.
    pub(super) async fn wait<T>(self, phase: Phase, future: impl Future<Output = T>) -> Result<T, AttemptFailed> {
        timeout_at(self.at, future).await.map_err(|_| AttemptFailed::TimedOut { limit: self.limit, phase })
    }

    /// What is left of the time.
    pub(super) fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}
