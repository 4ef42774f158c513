//! A client for an HTTP upstream: pooled connections, three timeouts, answers that stream. Its callers decide what is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use service::{ApiError, call_span, telemetry};
use tracing::{Instrument as _, field::Empty};
use wire::{ErrorCode, request_id::X_REQUEST_ID};

use super::{
    acceptance::{Acceptance, refuses_relay},
    headers,
    pool::{Connection, Pool},
    streamed::{Exchange, Streamed},
    upstream_error::UpstreamError,
    upstream_state::UpstreamState,
};
use crate::{
    config::{HttpUrl, UpstreamTimeouts},
    metrics::GatewayMetrics,
};

/// A client for one upstream.
pub(crate) struct Upstream(Arc<UpstreamState>);

impl Upstream {
    pub(crate) fn new(name: &'static str, url: &HttpUrl, timeouts: UpstreamTimeouts, metrics: GatewayMetrics) -> Self {
        Self::with(None, name, url, timeouts, metrics)
    }

    /// An upstream that authenticates the relay: answers that refuse HMAC#2 become [`UpstreamError::RefusedRelay`].
    pub(super) fn that_authenticates(
        name: &'static str,
        url: &HttpUrl,
        timeouts: UpstreamTimeouts,
        metrics: GatewayMetrics,
    ) -> Self {
        Self::with(Some(Acceptance::default()), name, url, timeouts, metrics)
    }

    fn with(
        acceptance: Option<Acceptance>,
        name: &'static str,
        url: &HttpUrl,
        timeouts: UpstreamTimeouts,
        metrics: GatewayMetrics,
    ) -> Self {
        let url = url.as_url();
        let target: Uri = url.origin().ascii_serialization().parse().expect("an http or https URL has such an origin");
        let host = target.authority().map_or("", |authority| authority.as_str());
        Self(Arc::new(UpstreamState {
            name,
            host: HeaderValue::from_str(host).expect("an authority is a header value"),
            base_path: url.path().trim_end_matches('/').to_owned(),
            pool: Pool::new(name, target, timeouts),
            timeouts,
            metrics,
            reachable: AtomicBool::new(true),
            acceptance,
        }))
    }

    /// Whether it could be reached when it was last tried; before that it is taken to be there.
    pub(crate) fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::Relaxed)
    }

    /// Whether it refused HMAC#2 in the last answer that shows it.
    pub(super) fn refuses_relay(&self) -> bool {
        self.0.acceptance.as_ref().is_some_and(Acceptance::is_refused)
    }

    /// How long it may take to begin an answer.
    pub(super) fn header_timeout(&self) -> Duration {
        self.0.timeouts.header
    }

    /// Closes connections that have been idle for too long. Call it now and then.
    pub(crate) fn sweep(&self) {
        self.0.pool.sweep();
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

    /// Scheme and authority.
    pub(super) fn target(&self) -> &Uri {
        self.0.pool.target()
    }

    /// What connects to it.
    pub(super) fn connector(&self) -> HttpsConnector<HttpConnector> {
        self.0.pool.connector()
    }

    /// Notes how an exchange ended that another client made: that of uploads.
    pub(super) fn exchanged(&self, answer: Result<StatusCode, &UpstreamError>, started: Instant) {
        let outcome = answer.map_or_else(UpstreamError::outcome, class);
        self.0.metrics.upstream_answered(self.0.name, outcome, started.elapsed());
        self.0.reached(answer.err());
    }

    /// Whether an answer accepts a signature without a body. A refusal is not noted: a chat backend that takes no files may refuse such
    /// signatures alone.
    ///
    /// # Errors
    /// [`UpstreamError::RefusedRelay`].
    pub(super) fn check_accepted(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), UpstreamError> {
        if self.0.acceptance.is_some() && refuses_relay(status, headers) {
            return Err(UpstreamError::RefusedRelay(describe_refusal(status, headers)));
        }
        Ok(())
    }

    /// Sends one request to a [path](Self::path) under a span of its own, and answers with a body that streams.
    pub(crate) fn send(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<Response<Streamed>, UpstreamError>> {
        let request_id = request.headers().get(X_REQUEST_ID).cloned();
        self.exchange(request, deadline).map(|exchanged| {
            let (answer, connection, exchange) = exchanged?;
            // We asked for no upgrade, so a switch of protocols is no answer.
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(UpstreamError::Broken("101 without an upgrade".to_owned()));
            }
            self.0.answered(&answer);
            let (mut parts, body) = answer.into_parts();
            connection.obey(&parts.headers);
            headers::settle_length(&mut parts.headers);
            headers::strip_response(&mut parts.headers);
            parts.extensions.clear();
            Ok(Response::from_parts(parts, Streamed::new(body, connection, exchange, request_id)))
        })
    }

    /// Sends a request that asks for another protocol, and answers as the upstream does: whether it switched is the caller's
    /// to look at.
    pub(crate) async fn upgrade(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, UpstreamError> {
        let (answer, ..) = self.exchange(request, None).await?;
        self.0.answered(&answer);
        Ok(answer)
    }

    /// Like [`Upstream::send`] no async block, which would keep room for the exchange twice.
    fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<(Response<Incoming>, Connection, Exchange), UpstreamError>> {
        let inner = &*self.0;
        let started = Instant::now();
        let header_due = started + inner.timeouts.header;
        let (due, setting) = match deadline.filter(|deadline| *deadline < header_due) {
            Some(deadline) => (deadline, "call_deadline_ms"),
            None => (header_due, "backend_header_timeout_ms"),
        };
        let span = call_span!(
            telemetry::records_now(),
            else DEBUG,
            "upstream",
            otel.name = format_args!("{} {}", request.method(), inner.name),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = %request.method(),
            server.address = inner.pool.target().host(),
            http.response.status_code = Empty,
        );
        request.headers_mut().insert(header::HOST, inner.host.clone());
        telemetry::inject(&span, request.headers_mut());
        let exchange = inner.pool.exchange(request, started.into(), due.into()).instrument(span.clone());
        exchange.map(move |answer| {
            let answer = answer.map_err(|error| UpstreamError::of(error, setting)).and_then(|answered| {
                // Judged here, so that the metric has an outcome of its own for it.
                match &inner.acceptance {
                    Some(acceptance) if refuses_relay(answered.0.status(), answered.0.headers()) => {
                        let cause = describe_refusal(answered.0.status(), answered.0.headers());
                        acceptance.refused(&cause);
                        Err(UpstreamError::RefusedRelay(cause))
                    }
                    _ => Ok(answered),
                }
            });
            let outcome = answer.as_ref().map_or_else(UpstreamError::outcome, |(answer, _)| class(answer.status()));
            let answered = Instant::now();
            inner.metrics.upstream_answered(inner.name, outcome, answered.saturating_duration_since(started));
            inner.reached(answer.as_ref().err());
            match answer {
                Ok((answer, mut connection)) => {
                    connection.used_at(answered.into());
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

/// Status and `Date`: a backend whose clock is wrong refuses what the relay signs.
fn describe_refusal(status: StatusCode, headers: &HeaderMap) -> String {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok()).unwrap_or("not given");
    format!("it answered {status}; its Date: {date}")
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

#[cfg(test)]
mod tests;
