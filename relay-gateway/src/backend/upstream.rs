//! An HTTP upstream: pooled connections, three timeouts, answers that stream. What is sent to it is the caller's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use shared::{ApiError, ErrorCode, call_span, request_id::X_REQUEST_ID, telemetry};
use tower_http::timeout::TimeoutBody;
use tracing::{Instrument as _, Span, field::Empty};

use super::headers;
use crate::{
    config::{HttpUrl, UpstreamTimeouts},
    metrics::GatewayMetrics,
};

/// Idle connections are closed after this; upstreams commonly wait longer, so it is we who close.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Where an upstream's paths begin.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    scheme: uri::Scheme,
    authority: uri::Authority,
    /// Without a trailing slash.
    path: String,
}

impl Base {
    pub(crate) fn new(url: &HttpUrl) -> Self {
        let parsed: Uri = url.as_url().as_str().parse().expect("a URL with host and without fragment is a URI");
        let parts = parsed.into_parts();
        Self {
            scheme: parts.scheme.expect("checked: http or https"),
            authority: parts.authority.expect("checked: it has a host"),
            path: url.as_url().path().trim_end_matches('/').to_owned(),
        }
    }

    /// `<base>/<rest>?<query>`, with nothing decoded or encoded on the way.
    pub(crate) fn join(&self, rest: &str, query: Option<&str>) -> Result<Uri, ApiError> {
        let path = match query {
            Some(query) => format!("{}/{rest}?{query}", self.path),
            None => format!("{}/{rest}", self.path),
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|error| ApiError::new(ErrorCode::MalformedRequest, "The path cannot be sent on.").caused_by(error))
    }
}

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
pub(crate) struct Upstream {
    name: &'static str,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeouts: UpstreamTimeouts,
    metrics: GatewayMetrics,
    reachable: AtomicBool,
}

/// What an upstream answers, its body not begun.
pub(crate) type Answer = http::Response<Incoming>;

impl Upstream {
    pub(crate) fn new(name: &'static str, timeouts: UpstreamTimeouts, metrics: GatewayMetrics) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeouts.connect));
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .unwrap_or_else(|error| {
                // A container without CA certificates still reaches upstreams over plain HTTP.
                tracing::warn!(%error, upstream = name, "no CA certificates: https will be refused");
                let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
                HttpsConnectorBuilder::new().with_tls_config(nobody.with_no_client_auth())
            })
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            // Sends again only what was never written to a connection that had closed while idle.
            .retry_canceled_requests(true)
            .build(connector);
        Self { name, client, timeouts, metrics, reachable: AtomicBool::new(true) }
    }

    /// Whether it could be reached when it was last tried; before that it is taken to be there.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Sends one request under a span of its own and answers with a body that streams, each piece within the idle timeout.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, UpstreamError> {
        let started = Instant::now();
        let request_id = request.headers().get(X_REQUEST_ID).cloned();
        let (answer, span) = self.exchange(request).await?;
        // We asked for no upgrade, so a switch of protocols is no answer.
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamError::Broken("101 without an upgrade".to_owned()));
        }
        let (mut parts, body) = answer.into_parts();
        headers::strip_response(&mut parts.headers);
        parts.extensions.clear();
        let (metrics, name) = (self.metrics.clone(), self.name);
        let body = TimeoutBody::new(self.timeouts.idle, body).map_err(move |error| {
            // The head is out, so the caller sees a broken connection: only here is it known why.
            span.in_scope(|| tracing::warn!(?request_id, %error, "an answer broke off half-way"));
            metrics.upstream_answered(name, "broken_body", started.elapsed());
            error
        });
        Ok(Response::from_parts(parts, Body::new(body)))
    }

    /// Sends a request that asks for another protocol, and answers as the upstream does: whether it switched is the caller's
    /// to look at.
    pub(crate) async fn upgrade(&self, request: Request<Full<Bytes>>) -> Result<Answer, UpstreamError> {
        self.exchange(request).await.map(|(answer, _)| answer)
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<(Answer, Span), UpstreamError> {
        let span = call_span!(
            telemetry::records_now(),
            else DEBUG,
            "upstream",
            otel.name = format_args!("{} {}", request.method(), self.name),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = %request.method(),
            server.address = request.uri().host(),
            http.response.status_code = Empty,
        );
        telemetry::inject(&span, request.headers_mut());
        let started = Instant::now();
        let answer = tokio::time::timeout(self.timeouts.header, self.client.request(request))
            .instrument(span.clone())
            .await
            .map_err(|_| UpstreamError::Timeout)
            .and_then(|answer| {
                answer.map_err(|error| {
                    let cause = with_sources(&error);
                    if error.is_connect() { UpstreamError::Unreachable(cause) } else { UpstreamError::Broken(cause) }
                })
            });
        let outcome = answer.as_ref().map_or_else(UpstreamError::outcome, |answer| class(answer.status()));
        self.metrics.upstream_answered(self.name, outcome, started.elapsed());
        let is_reachable = !matches!(answer, Err(UpstreamError::Unreachable(_)));
        if self.reachable.load(Ordering::Relaxed) != is_reachable
            && self.reachable.swap(is_reachable, Ordering::Relaxed) != is_reachable
        {
            // Once, however many are turned away.
            match &answer {
                Err(UpstreamError::Unreachable(cause)) => {
                    tracing::warn!(upstream = self.name, cause, "cannot be reached")
                }
                _ => tracing::info!(upstream = self.name, "can be reached again"),
            }
        }
        match answer {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status().as_u16());
                Ok((answer, span))
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                Err(error)
            }
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
    use super::*;

    fn base(url: &str) -> Base {
        Base::new(&url.parse().expect("a URL"))
    }

    #[test]
    fn what_follows_relay_is_appended_to_the_base_untouched() {
        for (url, rest, query, joined) in [
            (
                "http://h:1",
                "add/message",
                Some("conversation_id=a%20b"),
                "http://h:1/add/message?conversation_id=a%20b",
            ),
            ("http://h:1/", "a", None, "http://h:1/a"),
            ("https://h/v1/", "a%2Fb", Some(""), "https://h/v1/a%2Fb?"),
        ] {
            assert_eq!(base(url).join(rest, query).expect("joins").to_string(), joined);
        }
    }
}
