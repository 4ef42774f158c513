//! The public surface: which path goes where, and what stands around each.
//!
//! | path | which file |
//! |---|---|
//! | `/api/v1/relay/*` | [`signed`]: verified, then answered by [`relay_endpoints`] and [`relay_events`], or relayed; before the router, which they do not need |
//! | `/api/v1/{provision,update,…}/*`, `/api/v1/{bots,widgets/…}` | [`passthrough`], where they are exposed |
//! | `/api/v1/{create/visitor-session,fetch/widget-config,refresh/visitor-token,end/visitor-session,identify/visitor,send/visitor-frame,poll/visitor-frames,upload/attachment}` | [`visitors`]: checked by origin |
//! | `/api/v1/operator/*` | [`operators`]: by an operator's token; answered here, or relayed |
//! | `/api/v1/ws/widget`, `/api/v1/ws/operator` | [`socket`], [`operator_socket`]: becomes a WebSocket |
//! | `/api/v1/attachments/*` | [`attachments`]: a file that a visitor or an operator has sent, by its unguessable address |
//! | `/widget.js`, `/api/v1/widget/texts/*` | [`widget`]: what pages embed |
//! | `/inbox` | [`inbox`]: the page in which operators answer |
//! | `/.well-known/jwks.json` | [`jwks`] |
//! | `/openapi.json` | [`document`]: the three lanes |
//! | `/healthz`, `/readyz` | probes |

use std::{any::Any, net::IpAddr, sync::Arc};

use axum::{
    Router,
    routing::{any, get, options, post},
};
use http::Response;
use service::{
    ApiError,
    edge::Edge,
    health,
    serve::{App, Gate, Peer, RequestBody},
};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::TenantDirectory,
    limits::{Fleet, Limits},
};

const REDIS_COUNTS: &str = "redis: rates and replays are counted for all gateways";
const COUNTS_ALONE: &str =
    "redis: not every worker is connected; those that are not count alone, with their share of each limit";

mod admin_call;
mod asset;
mod attachments;
mod body;
mod client_address;
mod cors;
mod document;
mod exceeded;
mod handshake;
mod held;
mod inbox;
mod jwks;
mod messages;
mod operator_socket;
mod operators;
mod passthrough;
mod refused_socket;
mod relay_endpoints;
mod relay_events;
mod request;
mod shapes;
#[doc(hidden)] // Public for the benchmarks alone.
pub mod signature_headers;
mod signed;
mod socket;
mod state;
mod target;
mod tickets;
mod uploads;
mod visitors;
mod widget;

use body::Body;
pub(crate) use client_address::behind_proxies;
pub use document::openapi;
pub(crate) use state::Gateway;
pub(crate) use tickets::Tickets;

/// The gateway as it is served.
pub(crate) struct Ingress<D: TenantDirectory> {
    gateway: Arc<Gateway<D>>,
    edge: Edge,
    router: Router,
}

impl<D: TenantDirectory> Clone for Ingress<D> {
    fn clone(&self) -> Self {
        Self { gateway: Arc::clone(&self.gateway), edge: self.edge.clone(), router: self.router.clone() }
    }
}

impl<D: TenantDirectory> Ingress<D> {
    /// What is in `pages` beside the gateway's own.
    pub(crate) fn new(gateway: Arc<Gateway<D>>, edge: Edge, pages: Router) -> Self {
        let router = edge.clone().wrap(router(&gateway).merge(pages));
        Self { gateway, edge, router }
    }
}

/// A router costs a small signed call about what verifying it does (boxed futures and bodies, a route to match), so signed calls
/// are told by their path, and handled with the types they really have.
impl<D: TenantDirectory> App for Ingress<D> {
    type Body = Body;

    async fn answer(&self, request: http::Request<RequestBody>, peer: &Peer) -> Response<Body> {
        if !request.uri().path().starts_with(signed::PREFIX) {
            return self.router.answer(request, peer).await.map(Body::Made);
        }
        let (mut head, body) = request.into_parts();
        let mut scope = self.edge.begin(&head.method, &mut head.headers, signed::ROUTE);
        scope.note_caller(&head.headers, peer.address.ip(), || signature_headers::named_tenant(&head.headers));
        let call = signed::relay(&self.gateway, &mut head, body, peer.address.ip(), scope.request_id());
        let response = scope.handle(call).await;
        scope.finish(&head.method, response)
    }
}

/// `/healthz` and `/readyz`. A gateway whose directory has followed changes once stays ready: where it cannot follow them, it asks the
/// admin service for each call and answers 503 where that fails, so an outage of the admin service does not empty the load balancer.
///
/// It is ready without Redis too: then it counts alone, and says so.
pub(crate) fn probes<D: TenantDirectory + Clone>(
    directory: D,
    fleet: Option<Arc<Fleet>>,
    stopping: CancellationToken,
) -> Router {
    health::routes(stopping, "directory", move || {
        let has_begun = directory.has_followed();
        let detail = fleet.as_ref().map(|fleet| if fleet.is_connected() { REDIS_COUNTS } else { COUNTS_ALONE });
        async move { if has_begun { Ok(detail) } else { Err("no lease from the admin service yet".to_owned()) } }
    })
}

/// Bounds how many connections one address may have.
impl Gate for Limits {
    fn enter(&self, address: IpAddr) -> Result<Box<dyn Any + Send>, ApiError> {
        Ok(Box::new(self.connect(address)?))
    }
}

/// Everything but the signed lane.
fn router<D: TenantDirectory>(gateway: &Arc<Gateway<D>>) -> Router {
    let mut router = Router::new()
        .route(
            "/api/v1/create/visitor-session",
            options(visitors::create_session::<D>).post(visitors::create_session::<D>),
        )
        .route("/api/v1/fetch/widget-config", options(visitors::fetch_config::<D>).get(visitors::fetch_config::<D>))
        .route(
            "/api/v1/refresh/visitor-token",
            options(visitors::refresh_token::<D>).post(visitors::refresh_token::<D>),
        )
        .route("/api/v1/identify/visitor", options(visitors::identify::<D>).post(visitors::identify::<D>))
        .route("/api/v1/end/visitor-session", options(visitors::end_session::<D>).post(visitors::end_session::<D>))
        .route("/api/v1/send/visitor-frame", options(visitors::send_frame::<D>).post(visitors::send_frame::<D>))
        .route("/api/v1/poll/visitor-frames", options(visitors::poll_frames::<D>).get(visitors::poll_frames::<D>))
        .route("/api/v1/upload/attachment", options(visitors::upload::<D>).post(visitors::upload::<D>))
        .route("/api/v1/operator/upload/attachment", post(operators::uploads::upload::<D>))
        .route("/api/v1/attachments/{tenant_id}/{id}/{name}", get(attachments::fetch::<D>))
        .route(
            "/api/v1/operator/{*rest}",
            any(operators::answer::<D>).get(operators::pass_through_read::<D>).post(operators::pass_through::<D>),
        )
        .route("/api/v1/ws/widget", get(socket::upgrade::<D>))
        .route("/api/v1/ws/operator", get(operator_socket::upgrade::<D>))
        .route("/widget.js", get(widget::script))
        // Beside the API, for deployments that publish only `/api` under their URL.
        .route("/api/v1/widget.js", get(widget::script))
        .route("/api/v1/widget/chat.js", get(widget::chat))
        .route("/api/v1/widget/texts/{file}", get(widget::texts))
        .route("/inbox", get(inbox::page))
        .route("/inbox/", get(inbox::without_slash))
        .route("/inbox/inbox.js", get(inbox::script))
        .route("/inbox/inbox.css", get(inbox::style))
        .route("/openapi.json", get(|| async { axum::Json(openapi()) }))
        .route("/.well-known/jwks.json", jwks::route(gateway.signing_keys.clone()));
    for path in passthrough::ADMIN_PATHS {
        router = router.route(path, any(passthrough::pass_admin::<D>));
    }
    for path in passthrough::DEVELOPER_PATHS {
        router = router.route(path, any(passthrough::pass_developer::<D>));
    }
    router.with_state(Arc::clone(gateway))
}
