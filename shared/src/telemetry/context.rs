//! W3C trace context across process boundaries: taken from callers, carried over gRPC and HTTP.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
    trace::TraceContextExt as _,
};
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes the caller's span (`traceparent`) the parent of `span`.
pub fn adopt_caller(span: &Span, headers: &HeaderMap) {
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&FromHeaders(headers)));
    if context.span().span_context().is_valid() {
        // Refused only for a span that is disabled, and then there is nothing to adopt.
        let _ = span.set_parent(context);
    }
}

/// The id of the trace `span` belongs to, 32 hexadecimal digits; `None` where telemetry is off.
#[must_use]
pub fn current_trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::trace::TraceId::INVALID).then(|| id.to_string())
}

/// Writes the trace context of `span` into an outgoing request's headers, in place of what is there.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&span.context(), &mut IntoHeaders(headers));
    });
}

/// Writes the trace context of `span` into an outgoing gRPC call's metadata.
pub fn inject_metadata(span: &Span, metadata: &mut MetadataMap) {
    let mut headers = std::mem::take(metadata).into_headers();
    inject(span, &mut headers);
    *metadata = MetadataMap::from_headers(headers);
}

struct FromHeaders<'a>(&'a HeaderMap);

impl Extractor for FromHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct IntoHeaders<'a>(&'a mut HeaderMap);

impl Injector for IntoHeaders<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
