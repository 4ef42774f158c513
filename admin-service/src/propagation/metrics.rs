//! How long changes wait, and how many gateways hold leases.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use service::telemetry::metrics::Metrics;

use super::report::PropagationReport;

/// The metrics of spreading changes.
#[derive(Clone, Debug)]
pub(crate) struct PropagationMetrics {
    wait: Histogram,
    ran_out: Counter,
    gateways: Gauge,
}

impl PropagationMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        // Beyond the longest lease, and with room around the usual one.
        let wait =
            [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 30.0];
        let made = Self { wait: Histogram::new(wait), ran_out: Counter::default(), gateways: Gauge::default() };
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

    pub(super) fn propagated(&self, report: &PropagationReport, unheard: bool) {
        self.wait.observe(report.waited.as_secs_f64());
        if unheard || report.acknowledged < report.gateways {
            self.ran_out.inc();
        }
    }

    pub(super) fn holding(&self, gateways: usize) {
        self.gateways.set(i64::try_from(gateways).unwrap_or(i64::MAX));
    }
}
