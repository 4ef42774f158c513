//! Around every gRPC call: a span under the caller's trace, a duration by method and outcome, faults of ours in the log.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::Instant,
};

use http::{Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use service::{
    ApiError, call_span,
    telemetry::{
        self,
        metrics::{Metrics, Seconds},
    },
};
use tower::{Layer, Service};
use tracing::{Span, field::Empty};
use wire::request_id::X_REQUEST_ID;

/// The span of one call.
pub(super) fn span(request: &Request<()>) -> Span {
    let method = known_method(request.uri().path());
    let request_id = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let span = call_span!(
        telemetry::is_recorded(request.headers()),
        else INFO,
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

/// Every method there is, from the descriptions of our own services and of gRPC's.
static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let describe = |bytes: &[u8]| FileDescriptorSet::decode(bytes).expect("descriptions made at build time decode");
    [
        proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .into_iter()
    .flat_map(|bytes| describe(bytes).file)
    .flat_map(|file| {
        let package = file.package.clone().unwrap_or_default();
        file.service.into_iter().map(move |service| (package.clone(), service))
    })
    .flat_map(|(package, service)| {
        let name = service.name.unwrap_or_default();
        service.method.into_iter().map(move |method| format!("{package}.{name}/{}", method.name.unwrap_or_default()))
    })
    .collect()
});

/// The method a path names, or `unmatched`: callers may invent paths, and a label is forever.
fn known_method(path: &str) -> &'static str {
    METHODS.get(path.trim_start_matches('/')).map_or("unmatched", String::as_str)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    rpc_method: &'static str,
    rpc_response_status_code: String,
}

/// OpenTelemetry's `rpc.server.call.duration`.
#[derive(Clone, Debug)]
pub(crate) struct RpcMetrics(Seconds<RpcLabels>);

impl RpcMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let help = "Time from a gRPC call's arrival to its answer, by method and gRPC status";
        Self(Seconds::new(metrics, "rpc_server_call_duration", help))
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
        let rpc_method = known_method(request.uri().path());
        let duration = self.metrics.0.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // A failed call has its status in the headers. Without one, the call succeeded, or its stream has begun.
            let status = answer.headers().get("grpc-status").and_then(|value| value.to_str().ok()).unwrap_or("0");
            let labels = RpcLabels { rpc_method, rpc_response_status_code: status.to_owned() };
            duration.observe(labels, started.elapsed());
            Ok(answer)
        })
    }
}

/// An error as a status. A fault of ours is logged first: callers read only the status.
pub(super) fn logged(error: impl Into<ApiError>) -> tonic::Status {
    let error = error.into();
    if error.code().statuses().0.is_server_error() {
        tracing::error!(error_code = error.code().as_str(), cause = error.cause(), "call failed");
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_path_makes_no_label() {
        for ours in [
            "chatrelay.directory.v1.TenantDirectory/GetTenant",
            "chatrelay.admin.v1.TenantAdmin/ListAuditLog",
            "grpc.health.v1.Health/Check",
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(known_method(&format!("/{ours}")), ours);
        }
        for invented in ["/", "/chatrelay.directory.v1.TenantDirectory/Invented", "/grpc.health.v1.Health/x", "/a/b"] {
            assert_eq!(known_method(invented), "unmatched", "{invented}");
        }
    }
}
