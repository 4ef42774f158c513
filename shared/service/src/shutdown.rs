//! When to stop: SIGTERM or Ctrl-C, once, for the whole process.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled at the first SIGTERM or SIGINT.
///
/// # Panics
/// Where the process may not install signal handlers.
#[must_use]
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let fired = token.clone();
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be listened to");
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Before the line: a log that nobody reads must not hold up the end.
        fired.cancel();
        tracing::info!("stopping: draining what is in flight");
    });
    token
}
