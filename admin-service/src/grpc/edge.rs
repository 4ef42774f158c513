//! Around every gRPC call: a span under the caller's trace, a duration by method and outcome, faults of ours in the log.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use http::{Request, Response};
use prometheus_client::{encoding::EncodeLabelSet, registry::Unit};
use shared::{
    request_id::X_REQUEST_ID,
    telemetry::{
        self,
        metrics::{Metrics, Seconds, SecondsBuckets},
    },
};
use tower::{Layer, Service};
use tracing::{Span, field::Empty};

/// The span of one call. Its method is one of ours or `unmatched`: callers may invent paths.
pub(super) fn span(request: &Request<()>) -> Span {
    let method = known_method(request.uri().path());
    let request_id = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = method,
        request_id,
        trace_id = Empty,
    );
    telemetry::adopt_caller(&span, request.headers());
    if let Some(trace_id) = telemetry::current_trace_id(&span) {
        span.record("trace_id", trace_id);
    }
    span
}

fn known_method(path: &str) -> &str {
    let method = path.trim_start_matches('/');
    let ours = method.len() <= 128
        && method.starts_with("chatrelay.")
        && method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/".contains(&byte));
    if ours || method.starts_with("grpc.health.") || method.starts_with("grpc.reflection.") {
        method
    } else {
        "unmatched"
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    rpc_method: String,
    rpc_response_status_code: String,
}

/// OpenTelemetry's `rpc.server.call.duration`.
#[derive(Clone, Debug)]
pub(crate) struct RpcMetrics(Seconds<RpcLabels>);

impl RpcMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let duration = Seconds::new_with_constructor(SecondsBuckets);
        metrics.register(|registry| {
            registry.register_with_unit(
                "rpc_server_call_duration",
                "Time from a gRPC call's arrival to its answer, by method and gRPC status",
                Unit::Seconds,
                duration.clone(),
            );
        });
        Self(duration)
    }
}

#[derive(Clone)]
pub(super) struct RpcLayer {
    metrics: RpcMetrics,
}

impl RpcLayer {
    pub(super) fn new(metrics: RpcMetrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService { inner, metrics: self.metrics.clone() }
    }
}

#[derive(Clone)]
pub(super) struct RpcService<S> {
    inner: S,
    metrics: RpcMetrics,
}

impl<S, Req, Res> Service<Request<Req>> for RpcService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let started = Instant::now();
        let rpc_method = known_method(request.uri().path()).to_owned();
        let duration = self.metrics.0.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // An error is all head: its status is there. Without one the call goes on well.
            let status = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok()).unwrap_or("0");
            let labels = RpcLabels { rpc_method, rpc_response_status_code: status.to_owned() };
            duration.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
            Ok(answer)
        })
    }
}

/// Logs a fault of ours before it becomes a status, whose text callers see.
pub(super) fn logged(error: impl Into<shared::ApiError>) -> tonic::Status {
    let error = error.into();
    if error.code().statuses().0.is_server_error() {
        tracing::error!(error_code = error.code().as_str(), cause = error.cause(), "call failed");
    }
    error.into()
}
