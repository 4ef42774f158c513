//! What is sent over sockets: frames and bytes, by session, however many sockets it has.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use wire::SessionId;

use super::gcra::Rates;

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct FrameRates {
    frames_per_min: NonZeroU32,
    bytes_per_min: NonZeroU32,
    frames: Rates<SessionId>,
    bytes: Rates<SessionId>,
}

impl FrameRates {
    pub(crate) fn new(frames_per_min: NonZeroU32, bytes_per_min: NonZeroU32) -> Self {
        Self { frames_per_min, bytes_per_min, frames: Rates::per(MINUTE), bytes: Rates::per(MINUTE) }
    }

    /// Whether a session may send so much more.
    pub(crate) fn admits(&self, session: SessionId, frames: u32, bytes: u32, now: Instant) -> bool {
        let within = |rates: &Rates<_>, units, limit| units == 0 || rates.spend(session, units, limit, now).is_ok();
        within(&self.frames, frames, self.frames_per_min) && within(&self.bytes, bytes, self.bytes_per_min)
    }

    pub(crate) fn sweep(&self) {
        self.frames.sweep();
        self.bytes.sweep();
    }
}
