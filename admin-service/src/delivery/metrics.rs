//! How deliveries go, and how much waits.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use service::telemetry::metrics::Metrics;
use wire::time::now;

use crate::store::Waiting;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum AttemptOutcome {
    Delivered,
    Retried,
    Parked,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: AttemptOutcome,
}

/// The metrics of deliveries.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryMetrics {
    attempts: Family<Labels, Counter>,
    first_delivery: Histogram,
    events: Gauge,
    oldest: Gauge,
    stopped: Gauge,
}

impl DeliveryMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        // From a receiver next door to one that was away for as long as events are tried.
        let buckets = [
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0,
            270_000.0,
        ];
        let made = Self {
            attempts: Family::default(),
            first_delivery: Histogram::new(buckets),
            events: Gauge::default(),
            oldest: Gauge::default(),
            stopped: Gauge::default(),
        };
        metrics.register(|registry| {
            registry.register("webhook_attempts", "Attempts at delivering an event, by outcome", made.attempts.clone());
            registry.register_with_unit(
                "webhook_first_delivery",
                "Time from an event's publication until its receiver took it",
                Unit::Seconds,
                made.first_delivery.clone(),
            );
            registry.register(
                "outbox_events",
                "Events that are pending in all outboxes, those that are held included",
                made.events.clone(),
            );
            registry.register_with_unit(
                "outbox_oldest_age",
                "Age of the oldest pending event, one that is held included",
                Unit::Seconds,
                made.oldest.clone(),
            );
            registry.register("webhook_endpoints_stopped", "Tenants whose endpoint is stopped", made.stopped.clone());
        });
        made
    }

    pub(super) fn attempted(&self, outcome: AttemptOutcome) {
        self.attempts.get_or_create(&Labels { outcome }).inc();
    }

    pub(super) fn delivered(&self, seconds: f64) {
        self.first_delivery.observe(seconds);
    }

    pub(super) fn waiting(&self, waiting: Waiting) {
        let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.events.set(shown(waiting.events));
        self.stopped.set(shown(waiting.stopped_endpoints));
        let age = waiting.oldest.map_or(0, |oldest| now().duration_since(oldest).as_secs().max(0));
        self.oldest.set(age);
    }
}
