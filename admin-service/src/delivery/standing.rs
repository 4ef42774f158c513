//! Until when a claim stands, by this machine's clock: a worker that was paused beyond it begins no attempt.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use wire::time::{as_millis, since_boot_ms};

/// Until when a claim stands.
#[derive(Debug)]
pub(super) struct Standing(AtomicU64);

impl Standing {
    /// Of a claim that was asked for at `asked` (milliseconds since boot): the database counts it from later.
    pub(super) fn new(asked: u64, period: Duration) -> Self {
        Self(AtomicU64::new(asked + as_millis(period)))
    }

    /// The claim was renewed by a call that began at `asked`.
    pub(super) fn renew(&self, asked: u64, period: Duration) {
        self.0.fetch_max(asked + as_millis(period), Ordering::Relaxed);
    }

    /// Until when the claim stands: milliseconds since boot.
    pub(super) fn until(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the claim stands.
    pub(super) fn is_valid(&self) -> bool {
        self.is_valid_for(Duration::ZERO)
    }

    /// Whether the claim will stand for some time yet.
    pub(super) fn is_valid_for(&self, time: Duration) -> bool {
        since_boot_ms() + as_millis(time) < self.until()
    }
}
