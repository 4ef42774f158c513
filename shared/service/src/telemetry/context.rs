//! W3C trace context across process boundaries: taken from callers, carried over gRPC and HTTP.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
    trace::TraceContextExt as _,
};
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The share of traces begun here that is recorded; unset where there is nowhere to record them to.
static RECORDED_SHARE: OnceLock<f64> = OnceLock::new();

/// Says which share of traces begun here is recorded. Once a process.
pub(super) fn record_share(share: f64) {
    let _ = RECORDED_SHARE.set(share);
}

/// Whether a call with these headers is recorded: as its caller has decided, or, where it begins the trace, by chance. It is asked
/// before there is a span: one that nobody will see costs more than all else that is done for a small call.
#[must_use]
pub fn is_recorded(headers: &HeaderMap) -> bool {
    let Some(share) = RECORDED_SHARE.get() else { return false };
    match headers.get("traceparent").and_then(caller_records) {
        Some(decision) => decision,
        None => fastrand::f64() < *share,
    }
}

/// The decision in a `traceparent` (W3C Trace Context, section 3.2); `None` where it is none.
fn caller_records(header: &HeaderValue) -> Option<bool> {
    let text = header.to_str().ok()?;
    let mut fields = text.split('-');
    let is_hex = |field: &str, digits: usize| {
        field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |field: &str, digits: usize| is_hex(field, digits) && field.bytes().any(|byte| byte != b'0');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    // A later version may have more fields.
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || fields.next().is_none());
    if !is_known || !is_id(trace, 32) || !is_id(parent, 16) || !is_hex(flags, 2) {
        return None;
    }
    u8::from_str_radix(flags, 16).ok().map(|flags| flags & 1 == 1)
}

/// Whether what is done right now is part of a call that is recorded.
#[must_use]
pub fn records_now() -> bool {
    records(&Span::current())
}

fn records(span: &Span) -> bool {
    span.metadata().is_some_and(|metadata| metadata.target() == RECORDED)
}

/// What is exported of all spans: those of calls that are recorded.
pub(super) const RECORDED: &str = "recorded";

/// A span for a call: exported where the call is recorded. Where it is not, it is for log lines alone, at the level given: INFO, or
/// DEBUG where calls are so many that a log has to ask for it.
#[macro_export]
macro_rules! call_span {
    ($recorded:expr, else $level:ident, $name:literal, $($fields:tt)+) => {
        if $recorded {
            tracing::info_span!(target: "recorded", $name, $($fields)+)
        } else {
            tracing::span!(tracing::Level::$level, $name, $($fields)+)
        }
    };
}

/// Makes the caller's span (`traceparent`) the parent of `span`.
pub fn adopt_caller(span: &Span, headers: &HeaderMap) {
    if !records(span) {
        return;
    }
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&FromHeaders(headers)));
    if context.span().span_context().is_valid() {
        // Refused only for a span that is disabled, and then there is nothing to adopt.
        let _ = span.set_parent(context);
    }
}

/// The id of the trace `span` belongs to, 32 hexadecimal digits; `None` where telemetry is off.
#[must_use]
pub fn current_trace_id(span: &Span) -> Option<String> {
    if !records(span) {
        return None;
    }
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != opentelemetry::trace::TraceId::INVALID).then(|| id.to_string())
}

/// The trace context of `span` as a `traceparent` (W3C Trace Context, section 3.2), to be kept with what the call leaves behind;
/// `None` where the call is not recorded.
#[must_use]
pub fn traceparent(span: &Span) -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(span, &mut headers);
    headers.get("traceparent").and_then(|text| text.to_str().ok()).map(str::to_owned)
}

/// The headers that a kept `traceparent` stands for: none if there is none, or if it has not the form of W3C Trace Context.
#[must_use]
pub fn kept(traceparent: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let trace = traceparent.and_then(|text| HeaderValue::from_str(text).ok());
    if let Some(trace) = trace.filter(|trace| caller_records(trace).is_some()) {
        headers.insert("traceparent", trace);
    }
    headers
}

/// Writes the trace context of `span` into an outgoing request's headers, in place of what is there. One that is not recorded
/// writes nothing: the caller's context goes on as it came.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if !records(span) {
        return;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_decision_is_read_where_there_is_one() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (text, decision) in [
            (format!("00-{trace}-{span}-01"), Some(true)),
            (format!("00-{trace}-{span}-00"), Some(false)),
            (format!("00-{trace}-{span}-03"), Some(true)),
            (format!("cc-{trace}-{span}-01-later"), Some(true)),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{trace}-{span}"), None),
            (format!("00-{trace}-{span}-01-more"), None),
            (format!("00-{trace}-{span}-01foo"), None),
            (format!("00-{}-{span}-01", "g".repeat(32)), None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None),
            (format!("zz-{trace}-{span}-01"), None),
            (format!("00-{trace}-{span}-xx"), None),
            ("é".to_owned(), None),
            (String::new(), None),
        ] {
            let header = HeaderValue::from_bytes(text.as_bytes()).expect("a header value");
            assert_eq!(caller_records(&header), decision, "{text}");
            assert_eq!(kept(Some(&text)).contains_key("traceparent"), decision.is_some(), "{text}");
        }
    }
}
