//! What Prometheus is shown of the outbox.

use std::time::{Duration, Instant};

use prometheus_client::{metrics::gauge::Gauge, registry::Unit};
use service::telemetry::metrics::Metrics;
use wire::time::now_unix_ms;

use crate::{records::outbox, store::Store};

/// Counting a long outbox takes the database a while.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Gauges of the outbox.
pub(super) struct OutboxMetrics {
    waiting: Gauge,
    refused: Gauge,
    oldest_age: Gauge,
    measured: Option<Instant>,
}

impl OutboxMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let (waiting, refused, oldest_age) = (Gauge::default(), Gauge::default(), Gauge::default());
        metrics.register(|registry| {
            registry.register(
                "chat_backend_outbox_rows",
                "Events and usage records that the admin service does not have yet",
                waiting.clone(),
            );
            registry.register(
                "chat_backend_outbox_refused_rows",
                "Events and usage records that the admin service refused, and that are not sent again",
                refused.clone(),
            );
            registry.register_with_unit(
                "chat_backend_outbox_oldest_age",
                "How long ago the oldest row that the admin service does not have yet was written",
                Unit::Seconds,
                oldest_age.clone(),
            );
        });
        Self { waiting, refused, oldest_age, measured: None }
    }

    /// Measures the outbox, unless it was measured a moment ago.
    pub(super) async fn measure_now_and_then(&mut self, store: &Store) {
        if self.measured.is_some_and(|measured| measured.elapsed() < MEASURE_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        // A failure is the publisher's to report: it meets the same database.
        let Ok(depth) = outbox::depth(store).await else { return };
        self.waiting.set(depth.waiting);
        self.refused.set(depth.refused);
        self.oldest_age.set(depth.oldest_at.map_or(0, |at| (now_unix_ms() - at).max(0) / 1000));
    }
}
