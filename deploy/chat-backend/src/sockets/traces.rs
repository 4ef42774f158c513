//! Spans of visitors' messages. The relay may have begun the trace.

use serde_json::{Map, Value};
use service::{call_span, telemetry};
use tracing::Span;
use wire::TenantId;

/// The span of a frame, in the trace that the frame names. The events that a message causes belong to this span.
pub(super) fn span(tenant_id: TenantId, frame: &Map<String, Value>) -> Span {
    let text = |field: &str| frame.get(field).and_then(Value::as_str);
    let trace = telemetry::kept(text("traceparent"));
    let span = call_span!(
        text("type") == Some("message") && telemetry::is_recorded(&trace),
        else DEBUG,
        "visitor message",
        otel.name = "visitor message",
        otel.kind = "server",
        tenant_id = %tenant_id,
    );
    telemetry::adopt_caller(&span, &trace);
    span
}
