//! How long changes wait, and who holds leases.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use shared::telemetry::metrics::{MetricConstructor as _, Metrics, SecondsBuckets};

use super::Spread;

/// The metrics of spreading changes.
#[derive(Clone, Debug)]
pub(crate) struct PropagationMetrics {
    wait: Histogram,
    ran_out: Counter,
    gateways: Gauge,
}

impl PropagationMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let made = Self { wait: SecondsBuckets.new_metric(), ran_out: Counter::default(), gateways: Gauge::default() };
        metrics.register(|registry| {
            registry.register_with_unit(
                "propagation_wait",
                "Time from a change's commit until it was true on every gateway",
                Unit::Seconds,
                made.wait.clone(),
            );
            registry.register(
                "propagation_leases_ran_out",
                "Changes that waited for a lease to run out, because a gateway or a replica said nothing",
                made.ran_out.clone(),
            );
            registry.register(
                "propagation_gateways",
                "Gateways that hold a lease of this replica's",
                made.gateways.clone(),
            );
        });
        made
    }

    pub(super) fn spread(&self, spread: &Spread, unheard: bool) {
        self.wait.observe(spread.waited.as_secs_f64());
        if unheard || spread.acknowledged < spread.gateways {
            self.ran_out.inc();
        }
    }

    pub(super) fn holding(&self, gateways: usize) {
        self.gateways.set(i64::try_from(gateways).unwrap_or(i64::MAX));
    }
}
