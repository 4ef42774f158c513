//! What a browser is told of other origins' pages (the Fetch standard's CORS): only a page that the tenant lets in may read an
//! answer, and never with credentials.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use wire::origin::Origin;

/// Seconds a browser may remember a preflight's answer. A stale one does no harm: the call itself is judged each time.
const REMEMBERED: &str = "600";

/// What a browser says of the page that asks.
pub(super) enum RequestOrigin {
    /// It says nothing: no browser, or a page of the relay's own origin.
    Absent,
    /// A page of this origin; the text as it was sent, to be sent back.
    Page(Origin, HeaderValue),
    /// Something that is no origin, such as `null`.
    Opaque,
}

impl RequestOrigin {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(header::ORIGIN).iter();
        match (given.next(), given.next()) {
            (None, _) => Self::Absent,
            (Some(text), None) => match text.to_str().ok().and_then(|text| text.parse().ok()) {
                Some(origin) => Self::Page(origin, text.clone()),
                None => Self::Opaque,
            },
            (Some(_), Some(_)) => Self::Opaque,
        }
    }
}

/// Lets a page of the allowed origin read the answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after, x-request-id"));
}

/// Says that the answer depends on the page that asks.
pub(super) fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// The answer to a preflight, which lets the page ask where it is allowed.
pub(super) fn preflight(allowed: Option<&HeaderValue>, method: &'static str) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    vary(headers);
    if let Some(origin) = allowed {
        allow(headers, origin);
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, method),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, x-request-id, traceparent, tracestate",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
