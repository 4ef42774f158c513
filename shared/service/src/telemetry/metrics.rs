//! Prometheus metrics of one process, and the operations listener that shows them.

use std::{
    borrow::Cow,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, middleware, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::family::Family,
    registry::{Registry, Unit},
};

use super::histogram::Histogram;
use crate::{no_sniff::never_sniffed, workers::PerWorker};

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
        Router::new()
            .route("/metrics", get(show))
            .layer(middleware::map_response(never_sniffed))
            .with_state(self.clone())
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

/// How long things took, by a set of labels. Cloning shares it.
#[derive(Debug)]
pub struct Seconds<L> {
    family: Family<L, Histogram>,
    /// Most are like the one before: it is found without hashing its labels under a lock that all workers share.
    last: Arc<PerWorker<Last<L>>>,
}

type Last<L> = Mutex<Option<(L, Histogram)>>;

impl<L> Clone for Seconds<L> {
    fn clone(&self) -> Self {
        Self { family: self.family.clone(), last: Arc::clone(&self.last) }
    }
}

impl<L: Clone + Eq + Hash + EncodeLabelSet + fmt::Debug + Send + Sync + 'static> Seconds<L> {
    /// Registers the family; its name ends in `_seconds`.
    #[must_use]
    pub fn new(metrics: &Metrics, name: &str, help: &str) -> Self {
        let family = Family::default();
        metrics.register(|registry| registry.register_with_unit(name, help, Unit::Seconds, family.clone()));
        Self { family, last: Arc::default() }
    }

    /// Counts one.
    pub fn observe(&self, labels: L, took: Duration) {
        // Taken only where several threads share a worker's: then the family is asked.
        let mut last = self.last.try_lock().ok();
        if let Some(Some((like, histogram))) = last.as_deref()
            && *like == labels
        {
            return histogram.observe(took);
        }
        let histogram = self.family.get_or_create_owned(&labels);
        histogram.observe(took);
        if let Some(last) = &mut last {
            **last = Some((labels, histogram));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    server: &'static str,
    http_request_method: &'static str,
    http_route: Cow<'static, str>,
    http_response_status_code: u16,
}

/// Requests served, by listener, method, route and status: OpenTelemetry's `http.server.request.duration`.
#[derive(Clone, Debug)]
pub struct HttpServerMetrics(Seconds<RouteLabels>);

impl HttpServerMetrics {
    /// Registers the family. A process with several servers shares one.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let help = "Time from a request's head to its answer's head, by route and status";
        Self(Seconds::new(metrics, "http_server_request_duration", help))
    }

    /// Counts one request. `route` is a template such as `/fetch/tenant`, never a path a caller chose.
    pub fn observe(
        &self,
        server: &'static str,
        method: &http::Method,
        route: Cow<'static, str>,
        status: StatusCode,
        took: Duration,
    ) {
        let labels = RouteLabels {
            server,
            http_request_method: known_method(method),
            http_route: route,
            http_response_status_code: status.as_u16(),
        };
        self.0.observe(labels, took);
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
