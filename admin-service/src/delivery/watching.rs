//! What is done beside deliveries, from time to time: saying how much waits, and removing events that need not be kept.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::workers::Workers;
use crate::events::Events;

/// How often to count what waits. With a million events held it takes the database a good part of a second.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// How often to look for events that need not be kept any longer.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// Counts and removes until the process stops.
pub(super) async fn watch(workers: Arc<Workers>, events: Events, retention: Duration) {
    let mut pruned: Option<Instant> = None;
    loop {
        match workers.store.waiting().await {
            Ok(waiting) => workers.metrics.waiting(waiting),
            Err(error) => tracing::debug!(%error, "what waits was not counted"),
        }
        if pruned.is_none_or(|pruned| pruned.elapsed() > PRUNE_EVERY) {
            events.prune(retention).await;
            pruned = Some(Instant::now());
        }
        if timeout(COUNT_EVERY, workers.stopping.cancelled()).await.is_ok() {
            return;
        }
    }
}
