//! An HTTP upstream: pooled connections, three timeouts, answers that stream. What is sent to it is the caller's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
use shared::{ApiError, ErrorCode, call_span, request_id::X_REQUEST_ID, telemetry};
use tracing::{Instrument as _, field::Empty};

use super::{
    headers,
    pool::{Connection, ExchangeError, Pool},
    streamed::{Exchange, Streamed},
};
use crate::{
    config::{HttpUrl, UpstreamTimeouts},
    metrics::GatewayMetrics,
};

/// Why an upstream gave no answer.
#[derive(Debug)]
pub(crate) enum UpstreamError {
    /// No connection: nothing was sent.
    Unreachable(String),
    /// It took too long; the request may have arrived.
    Timeout,
    /// It broke off or answered something that is not HTTP; the request may have arrived.
    Broken(String),
}

impl UpstreamError {
    /// What it means to a caller of the chat backend.
    pub(crate) fn into_backend_error(self) -> ApiError {
        match self {
            Self::Unreachable(cause) => ApiError::new(
                ErrorCode::BackendUnreachable,
                "The chat backend cannot be reached. Nothing was sent: send the call again, signed anew.",
            )
            .retry_after_seconds(1)
            .caused_by(cause),
            Self::Timeout => ApiError::new(
                ErrorCode::BackendTimeout,
                "The chat backend took too long. The call may have arrived: look before you repeat it.",
            )
            .caused_by("no answer within backend_header_timeout_ms"),
            Self::Broken(cause) => ApiError::new(
                ErrorCode::BackendBadResponse,
                "The chat backend broke off. The call may have arrived: look before you repeat it.",
            )
            .caused_by(cause),
        }
    }

    const fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
        }
    }
}

/// A client for one upstream.
pub(crate) struct Upstream(Arc<Shared>);

/// What the answers that stream still need of it.
pub(super) struct Shared {
    pub(super) name: &'static str,
    /// `Host`, as every request has it.
    host: HeaderValue,
    /// Where its paths begin, without a trailing slash.
    base_path: String,
    pub(super) pool: Pool,
    pub(super) timeouts: UpstreamTimeouts,
    pub(super) metrics: GatewayMetrics,
    reachable: AtomicBool,
}

impl Upstream {
    pub(crate) fn new(name: &'static str, url: &HttpUrl, timeouts: UpstreamTimeouts, metrics: GatewayMetrics) -> Self {
        let url = url.as_url();
        let target: Uri = url.origin().ascii_serialization().parse().expect("an http or https URL has such an origin");
        let host = target.authority().map_or("", |authority| authority.as_str());
        Self(Arc::new(Shared {
            name,
            host: HeaderValue::from_str(host).expect("an authority is a header value"),
            base_path: url.path().trim_end_matches('/').to_owned(),
            pool: Pool::new(name, target, timeouts.connect),
            timeouts,
            metrics,
            reachable: AtomicBool::new(true),
        }))
    }

    /// Whether it could be reached when it was last tried; before that it is taken to be there.
    pub(crate) fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Relaxed)
    }

    /// Closes connections that have been free for too long. Call it now and then.
    pub(crate) fn tidy(&self) {
        self.0.pool.tidy();
    }

    /// `<base>/<rest>?<query>`, with nothing decoded or encoded on the way.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`] where that is not a path.
    pub(crate) fn path(&self, rest: &str, query: Option<&str>) -> Result<PathAndQuery, ApiError> {
        let base = &self.0.base_path;
        let mut path = String::with_capacity(base.len() + rest.len() + query.map_or(0, str::len) + 2);
        for part in [base, "/", rest] {
            path.push_str(part);
        }
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        path.try_into()
            .map_err(|error| ApiError::new(ErrorCode::MalformedRequest, "The path cannot be sent on.").caused_by(error))
    }

    /// Sends one request to a [path](Self::path) under a span of its own, and answers with a body that streams.
    pub(crate) fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Streamed>, UpstreamError>> {
        let request_id = request.headers().get(X_REQUEST_ID).cloned();
        self.exchange(request).map(|exchanged| {
            let (answer, connection, exchange) = exchanged?;
            // We asked for no upgrade, so a switch of protocols is no answer.
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(UpstreamError::Broken("101 without an upgrade".to_owned()));
            }
            let (mut parts, body) = answer.into_parts();
            headers::strip_response(&mut parts.headers);
            parts.extensions.clear();
            Ok(Response::from_parts(parts, Streamed::new(body, connection, exchange, request_id)))
        })
    }

    /// Sends a request that asks for another protocol, and answers as the upstream does: whether it switched is the caller's
    /// to look at.
    pub(crate) async fn upgrade(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, UpstreamError> {
        self.exchange(request).await.map(|(answer, ..)| answer)
    }

    fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Connection, Exchange), UpstreamError>> {
        let shared = &*self.0;
        let started = Instant::now();
        let span = call_span!(
            telemetry::records_now(),
            else DEBUG,
            "upstream",
            otel.name = format_args!("{} {}", request.method(), shared.name),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = %request.method(),
            server.address = shared.host.to_str().unwrap_or_default(),
            http.response.status_code = Empty,
        );
        request.headers_mut().insert(header::HOST, shared.host.clone());
        telemetry::inject(&span, request.headers_mut());
        let exchange = shared.pool.exchange(request, started.into(), shared.timeouts.header).instrument(span.clone());
        exchange.map(move |answer| {
            let answer = answer.map_err(UpstreamError::from);
            let outcome = answer.as_ref().map_or_else(UpstreamError::outcome, |(answer, _)| class(answer.status()));
            shared.metrics.upstream_answered(shared.name, outcome, started.elapsed());
            shared.reached(answer.as_ref().err());
            match answer {
                Ok((answer, connection)) => {
                    span.record("http.response.status_code", answer.status().as_u16());
                    Ok((answer, connection, Exchange { upstream: Arc::clone(&self.0), started, span }))
                }
                Err(error) => {
                    span.record("otel.status_code", "ERROR");
                    Err(error)
                }
            }
        })
    }
}

impl Shared {
    /// Says when the upstream went away and when it came back: once, however many are turned away.
    fn reached(&self, error: Option<&UpstreamError>) {
        let is_reachable = !matches!(error, Some(UpstreamError::Unreachable(_)));
        if self.reachable.load(Ordering::Relaxed) == is_reachable
            || self.reachable.swap(is_reachable, Ordering::Relaxed) == is_reachable
        {
            return;
        }
        match error {
            Some(UpstreamError::Unreachable(cause)) => {
                tracing::warn!(upstream = self.name, cause, "cannot be reached");
            }
            _ => tracing::info!(upstream = self.name, "can be reached again"),
        }
    }
}

impl From<ExchangeError> for UpstreamError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Connect(error) => Self::Unreachable(with_sources(&*error)),
            ExchangeError::Late => Self::Timeout,
            ExchangeError::Broken(error) => Self::Broken(with_sources(&error)),
        }
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::telemetry::metrics::Metrics;

    use super::*;

    #[tokio::test]
    async fn what_follows_relay_is_appended_to_the_base_untouched() {
        let timeouts = UpstreamTimeouts { connect: Duration::ZERO, header: Duration::ZERO, idle: Duration::ZERO };
        for (url, rest, query, host, path) in [
            ("http://h:1", "add/message", Some("conversation_id=a%20b"), "h:1", "/add/message?conversation_id=a%20b"),
            ("http://h:80/", "a", None, "h", "/a"),
            ("https://[::1]/v1/", "a%2Fb", Some(""), "[::1]", "/v1/a%2Fb?"),
        ] {
            let url = url.parse().expect("a URL");
            let upstream = Upstream::new("test", &url, timeouts, GatewayMetrics::new(&Metrics::default()));
            assert_eq!(upstream.0.host, host);
            assert_eq!(upstream.path(rest, query).expect("a path"), path);
        }
    }
}
