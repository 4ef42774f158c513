//! What every HTTP surface does around its handlers: request id, span, error rendering, metrics, access log.
//!
//! Every answer of a router carries `nosniff`. The signed lane has no router: no browser opens its answers.
//!
//! Handlers return an [`ApiError`]; here, and only here, it becomes a body and its cause a log line.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv6Addr},
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, State},
    middleware::{self, Next},
    response::IntoResponse as _,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    error::ApiError,
    no_sniff::never_sniffed,
    query::Query,
    serve::Peer,
    telemetry::{self, AccessLine, metrics::HttpServerMetrics},
};
use wire::{
    ErrorCode, TenantId,
    request_id::{RequestId, X_REQUEST_ID},
};

/// One server's edge.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The server's name in metrics and spans.
    pub server: &'static str,
    /// Where its requests are counted.
    pub metrics: HttpServerMetrics,
    /// Whether each request leaves a line at INFO under the target `access`.
    pub access_log: bool,
    /// Whose address a request counts under.
    pub clients: ClientAddresses,
}

/// Finds the address that a request counts under from its headers and the connection's other end: behind trusted proxies those
/// two differ.
#[derive(Clone, Default)]
pub struct ClientAddresses(Option<Arc<Find>>);

type Find = dyn Fn(&HeaderMap, IpAddr) -> IpAddr + Send + Sync;

impl ClientAddresses {
    /// By a function of the headers and the connection's other end. The default is the connection's other end.
    pub fn new(find: impl Fn(&HeaderMap, IpAddr) -> IpAddr + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// The address that a request counts under.
    #[must_use]
    pub fn find(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        self.0.as_ref().map_or(peer, |find| find(headers, peer))
    }
}

impl fmt::Debug for ClientAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientAddresses").field(&self.0.is_some()).finish()
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, since a subscriber has a whole one.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The tenant that a request is about, for its line in the access log. A handler sets it once it knows; where none does, the line
/// has the tenant that the caller named.
#[derive(Clone, Debug, Default)]
pub struct ConcernedTenant(Arc<OnceLock<TenantId>>);

impl ConcernedTenant {
    /// Notes the tenant. The first that is noted stays.
    pub fn set(&self, tenant_id: TenantId) {
        let _ = self.0.set(tenant_id);
    }

    /// Notes the tenant of the request with these extensions.
    pub fn note(extensions: &http::Extensions, tenant_id: TenantId) {
        if let Some(concerned) = extensions.get::<Self>() {
            concerned.set(tenant_id);
        }
    }
}

impl Edge {
    /// Wraps a finished router: its fallbacks become 404 and 405 in the envelope, its panics 500. Handlers find the
    /// [`RequestId`] in the request's extensions.
    pub fn wrap(self, router: Router) -> Router {
        router
            .fallback(|| async { ApiError::new(ErrorCode::NotFound, "There is nothing at this path.") })
            .method_not_allowed_fallback(|| async {
                ApiError::new(ErrorCode::MethodNotAllowed, "This path takes other methods: see the Allow header.")
            })
            .layer(middleware::from_fn_with_state(self, around_router))
    }

    /// Lets a request in: gives it its id and its span. `route` is a template such as `/fetch/tenant`, never a path that a
    /// caller chose.
    pub fn begin(
        &self,
        method: &Method,
        headers: &mut HeaderMap,
        route: impl Into<Cow<'static, str>>,
    ) -> RequestScope<'_> {
        let route = route.into();
        let started = Instant::now();
        let request_id = RequestId::take_or_give(headers);
        let span = call_span!(
            telemetry::is_recorded(headers),
            else DEBUG,
            "request",
            otel.name = format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            request_id = request_id.as_str(),
            trace_id = Empty,
            http.request.method = %method,
            http.route = &*route,
            http.response.status_code = Empty,
        );
        telemetry::adopt_caller(&span, headers);
        if let Some(trace_id) = telemetry::current_trace_id(&span) {
            span.record("trace_id", trace_id);
        }
        RequestScope {
            edge: self,
            route,
            started,
            request_id,
            span,
            client: None,
            named: None,
            tenant: ConcernedTenant::default(),
        }
    }
}

/// A request on its way through an edge.
pub struct RequestScope<'a> {
    edge: &'a Edge,
    route: Cow<'static, str>,
    started: Instant,
    request_id: RequestId,
    span: Span,
    client: Option<IpAddr>,
    /// The tenant that the caller named, which nobody has checked.
    named: Option<TenantId>,
    tenant: ConcernedTenant,
}

impl RequestScope<'_> {
    /// Notes who calls and which tenant the caller names, where each request leaves a line.
    pub fn note_caller(&mut self, headers: &HeaderMap, peer: IpAddr, tenant: impl FnOnce() -> Option<TenantId>) {
        if self.edge.access_log {
            self.client = Some(self.edge.clients.find(headers, peer));
            self.named = tenant();
        }
    }

    /// The request's id.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Handles the request, in its span; a panic becomes an answer.
    pub fn handle<C: From<Body>, H: Future<Output = Response<C>>>(
        &self,
        handler: H,
    ) -> impl Future<Output = Response<C>> + use<C, H> {
        // No async block: that would keep room for the handler twice, before and while it runs.
        let handled = AssertUnwindSafe(handler).catch_unwind().instrument(self.span.clone());
        handled.map(|handled| handled.unwrap_or_else(|panic| after_panic(panic.as_ref())))
    }

    /// Lets the answer out: renders its error, counts it, and leaves a line in the log.
    pub fn finish<C: From<Body>>(self, method: &Method, mut response: Response<C>) -> Response<C> {
        let Self { edge, route, started, request_id, span, client, named, tenant } = self;
        let _entered = span.enter();
        let error = response.extensions_mut().remove::<ApiError>();
        if let Some(error) = &error {
            render(error, request_id.as_str(), &mut response);
        }
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
            match &error {
                // Strangers can cause it as often as they like.
                Some(error) if error.code() == ErrorCode::Overloaded => {
                    tracing::debug!(%route, "refused for want of room");
                }
                Some(error) => {
                    let (request_id, error_code) = (request_id.as_str(), error.code().as_str());
                    tracing::error!(request_id, %route, error_code, cause = error.cause(), "request failed");
                }
                None => {
                    let (request_id, status) = (request_id.as_str(), status.as_u16());
                    tracing::warn!(request_id, %route, status, "answered with a server error from behind");
                }
            }
        }
        let took = started.elapsed();
        if edge.access_log {
            let line = AccessLine {
                request_id: request_id.as_str(),
                method,
                route: &route,
                status: status.as_u16(),
                error_code: error.as_ref().map(|error| error.code().as_str()),
                client,
                tenant_id: tenant.0.get().copied().or(named),
                took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            };
            line.leave(&span);
        }
        edge.metrics.observe(edge.server, method, route, status, took);
        response.headers_mut().insert(X_REQUEST_ID, request_id.into_header());
        response
    }
}

/// Refuses a request that two servers could read as two different ones: without a host or with several (RFC 9112, section
/// 3.2), or with a transfer coding that is not read here.
///
/// # Errors
/// [`ErrorCode::MalformedRequest`].
pub fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let malformed = |message| Err(ApiError::new(ErrorCode::MalformedRequest, message));
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return malformed("The request has no Host header: send one."),
        (Some(_), Some(_)) => return malformed("The request has several Host headers: send one."),
        _ => {}
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => malformed(
            "The request's Transfer-Encoding is not read here: send the body chunked, or with a Content-Length.",
        ),
    }
}

async fn around_router(State(edge): State<Edge>, mut request: Request<Body>, next: Next) -> Response<Body> {
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.map_or(Cow::Borrowed("unmatched"), |matched| matched.as_str().to_owned().into());
    let mut scope = edge.begin(&method, request.headers_mut(), route);
    if let Some(peer) = request.extensions().get::<Peer>() {
        let named = || Query::parse(request.uri().query()).optional("tenant_id");
        scope.note_caller(request.headers(), peer.address.ip(), named);
    }
    request.extensions_mut().insert(scope.request_id().clone());
    request.extensions_mut().insert(scope.tenant.clone());
    let response = match check_framing(request.version(), request.headers()) {
        Ok(()) => scope.handle(next.run(request)).await,
        Err(error) => error.into_response(),
    };
    never_sniffed(scope.finish(&method, response)).await
}

fn render<C: From<Body>>(error: &ApiError, request_id: &str, response: &mut Response<C>) {
    let body = error.body(request_id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body).into();
}

fn after_panic<C: From<Body>>(panic: &(dyn std::any::Any + Send)) -> Response<C> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    ApiError::internal(format!("panic: {text}")).into_response().map(C::from)
}
