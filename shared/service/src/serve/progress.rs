//! How far a connection has come, as the parts that move its bytes tell each other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// How far a connection has come.
#[derive(Default)]
pub(super) struct Progress {
    /// Even while a request is awaited, odd while one is answered.
    turn: AtomicU64,
    /// Bytes the peer's side has taken.
    pub(super) written: AtomicU64,
    /// Whether a write waits for the peer.
    pub(super) is_blocked: AtomicBool,
    /// Whether the last request was answered before its body had come.
    pub(super) has_unread_body: AtomicBool,
    /// Whether the peer began with TLS where plain HTTP is spoken.
    pub(super) speaks_tls: AtomicBool,
    /// Whether what came last could not be read as a request.
    pub(super) is_refused: AtomicBool,
}

impl Progress {
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        self.turn.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }
}

/// Held from a request's arrival until its answer is written or given up. Meanwhile the wait for the next request is not timed.
pub(super) struct Turn(Arc<Progress>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }
}
