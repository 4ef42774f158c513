//! What the gateway counts beside its requests: refusals, and how long those it depends on take.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Unit,
};
use shared::{
    ErrorCode,
    telemetry::metrics::{Metrics, Seconds, SecondsBuckets},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    rpc_method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: &'static str,
    outcome: &'static str,
}

/// The gateway's own metrics.
#[derive(Clone, Debug)]
pub(crate) struct GatewayMetrics {
    refusals: Family<RefusalLabels, Counter>,
    admin_calls: Seconds<CallLabels>,
    upstream: Seconds<UpstreamLabels>,
}

impl GatewayMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let made = Self {
            refusals: Family::default(),
            admin_calls: Seconds::new_with_constructor(SecondsBuckets),
            upstream: Seconds::new_with_constructor(SecondsBuckets),
        };
        metrics.register(|registry| {
            registry.register("relay_refusals", "Calls refused by the gateway, by error code", made.refusals.clone());
            registry.register_with_unit(
                "rpc_client_call_duration",
                "Time the admin service took, by method and outcome",
                Unit::Seconds,
                made.admin_calls.clone(),
            );
            registry.register_with_unit(
                "http_client_request_duration",
                "Time an upstream took to begin its answer, by upstream and outcome",
                Unit::Seconds,
                made.upstream.clone(),
            );
        });
        made
    }

    pub(crate) fn refused(&self, reason: ErrorCode) {
        self.refusals.get_or_create(&RefusalLabels { reason: reason.as_str() }).inc();
    }

    pub(crate) fn admin_called(&self, rpc_method: &'static str, outcome: &'static str, took: Duration) {
        self.admin_calls.get_or_create(&CallLabels { rpc_method, outcome }).observe(took.as_secs_f64());
    }

    pub(crate) fn upstream_answered(&self, upstream: &'static str, outcome: &'static str, took: Duration) {
        self.upstream.get_or_create(&UpstreamLabels { upstream, outcome }).observe(took.as_secs_f64());
    }
}
