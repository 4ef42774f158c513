//! Prometheus metrics of one process, and the operations listener that shows them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        family::{Family, MetricConstructor},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

/// Where a process registers what it counts. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Registers something. Do it at start: names are for the life of the process.
    ///
    /// # Panics
    /// Where another registration panicked.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().expect("registering does not panic"))
    }

    /// The operations listener: `GET /metrics` in the `OpenMetrics` text format.
    pub fn router(&self) -> Router {
        Router::new().route("/metrics", get(show)).with_state(self.clone())
    }
}

async fn show(State(metrics): State<Metrics>) -> impl IntoResponse {
    let mut text = String::new();
    match metrics.register(|registry| encode(&mut text, registry)) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A family of histograms of seconds, by a set of labels.
pub type Seconds<Labels> = Family<Labels, Histogram, SecondsBuckets>;

/// OpenTelemetry's recommended buckets for request durations, and three below for what answers in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecondsBuckets;

impl MetricConstructor<Histogram> for SecondsBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        ])
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    server: &'static str,
    http_request_method: &'static str,
    http_route: String,
    http_response_status_code: u16,
}

/// Requests served, by listener, method, route and status: OpenTelemetry's `http.server.request.duration`.
#[derive(Clone, Debug)]
pub struct HttpServerMetrics {
    duration: Seconds<RouteLabels>,
}

impl HttpServerMetrics {
    /// Registers the family. A process with several servers shares one.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let duration = Seconds::new_with_constructor(SecondsBuckets);
        metrics.register(|registry| {
            registry.register_with_unit(
                "http_server_request_duration",
                "Time from a request's head to its answer's head, by route and status",
                Unit::Seconds,
                duration.clone(),
            );
        });
        Self { duration }
    }

    /// Counts one request. `route` is a template such as `/fetch/tenant`, never a path a caller chose.
    pub fn observe(
        &self,
        server: &'static str,
        method: &http::Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let labels = RouteLabels {
            server,
            http_request_method: known_method(method),
            http_route: route.to_owned(),
            http_response_status_code: status.as_u16(),
        };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// The method, or `_OTHER`: callers may invent methods, and a label is forever.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}
