//! The REST facade for operators (PROTOCOL.md, section 3) and for tenants' developers (section 5.10, by account key). Thin: it reads, calls a use case, and wraps the answer.

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, header};
use service::{ApiError, edge::ClientAddresses, health, serve::Peer};
use tokio_util::sync::CancellationToken;
use utoipa_swagger_ui::SwaggerUi;
use wire::request_id::RequestId;

use crate::{
    auth::{OperatorGate, X_ADMIN_KEY},
    tenants::Tenants,
};

mod account_keys;
mod admin_keys;
pub(crate) mod advice;
mod audit;
mod bots;
mod developers;
mod document;
mod dto;
mod events;
mod input;
mod publishing;
mod routes;
mod scopes;
mod signing_keys;
mod state;
mod tenants;
mod widgets;

pub(crate) use developers::Developers;
pub use document::openapi;
pub(crate) use signing_keys::Keys;
pub(crate) use state::{RelayUrl, Services, WebhookPublicKey};

/// The facade's router, edges not included.
pub(crate) fn router(services: Services) -> Router {
    let Services {
        tenants,
        logs,
        events,
        webhook_public_key,
        relay_keys,
        developers,
        admin_keys,
        keys,
        gate,
        clients,
        relay_url,
        probes,
    } = services;
    let (of_tenants, _) = routes::tenant_routes().split_for_parts();
    let (of_logs, _) = routes::log_routes().split_for_parts();
    let (of_events, _) = routes::event_routes().split_for_parts();
    let (of_backends, _) = routes::publishing_routes().split_for_parts();
    let (of_admin_keys, _) = routes::admin_key_routes().split_for_parts();
    let (of_account_keys, _) = routes::account_key_routes().split_for_parts();
    let (of_developers, _) = routes::developer_routes().split_for_parts();
    let (of_signing_keys, _) = routes::signing_key_routes().split_for_parts();
    let protected = of_tenants
        .with_state(tenants)
        .merge(of_logs.with_state(logs))
        .merge(of_events.with_state(events.clone()))
        .merge(of_admin_keys.with_state(admin_keys))
        .merge(of_account_keys.with_state(developers.account_keys.clone()))
        .merge(of_signing_keys.with_state(keys.clone()))
        .layer(Extension(relay_url))
        .layer(Extension(webhook_public_key))
        .layer(middleware::from_fn_with_state((gate, clients), require_admin_key));
    Router::new()
        .merge(protected)
        .merge(of_developers.with_state(developers))
        .merge(
            of_backends
                .with_state(events)
                .layer(middleware::from_fn_with_state(relay_keys, publishing::require_backend)),
        )
        .merge(probes)
        .route("/.well-known/jwks.json", get(signing_keys::jwks).with_state(keys))
        .merge(
            Router::from(
                SwaggerUi::new("/docs")
                    .url("/openapi.json", openapi())
                    // Without this the page asks a validator on the internet about the document.
                    .config(utoipa_swagger_ui::Config::default().validator_url("none")),
            )
            // The page takes the admin key: no other site may show it in a frame and lay its own page over it.
            .layer(middleware::map_response(never_framed)),
        )
}

/// `/healthz` and `/readyz`.
pub(crate) fn probes(tenants: Tenants, stopping: CancellationToken) -> Router {
    health::routes(stopping, "database", move || {
        let tenants = tenants.clone();
        async move { tenants.is_available().await.map(|()| None).map_err(|error| error.to_string()) }
    })
}

async fn never_framed(mut response: Response) -> Response {
    let policy = HeaderValue::from_static("frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn require_admin_key(
    State((gate, clients)): State<(OperatorGate, ClientAddresses)>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let address = peer.map(|peer| clients.find(request.headers(), peer));
    let given = request.headers().get(X_ADMIN_KEY).map(HeaderValue::as_bytes);
    let needed = scopes::needed(request.uri().path());
    match gate.admit(given, address, request_id, needed).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refused) => ApiError::from(refused).into_response(),
    }
}
