//! The REST facade for operators (PROTOCOL.md, section 3) and for tenants' developers (section 5.10, by account key). Thin: it reads, calls a use case, and wraps the answer.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, header};
use secrecy::ExposeSecret as _;
use service::{ApiError, config::SecretList, edge::ClientAddresses, health, serve::Peer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use url::Url;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;
use wire::{ErrorCode, request_id::RequestId};

use crate::{
    account_keys::AccountKeys,
    domain::{
        access::{AccessEntry, AccessKind},
        audit::Caller,
    },
    guesses::Guesses,
    logs::Logs,
    tenants::Tenants,
};

mod account_keys;
mod audit;
mod bots;
mod developers;
mod document;
mod dto;
mod input;
mod signing_keys;
mod tenants;
mod widgets;

pub(crate) use developers::Developers;
pub use document::openapi;
pub(crate) use input::cursor;
pub(crate) use signing_keys::Keys;

/// The header operators prove themselves with; internal services use it as gRPC metadata.
pub(crate) const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");

/// The operators' keys: compared in constant time, each named by a prefix of its hash.
#[derive(Clone)]
pub(crate) struct AdminKeys(Arc<[AdminKey]>);

struct AdminKey {
    digest: [u8; 32],
    actor: Arc<str>,
}

impl AdminKeys {
    pub(crate) fn new(keys: &SecretList) -> Self {
        let named = keys.accepted().map(|key| {
            let digest: [u8; 32] = Sha256::digest(key.expose_secret()).into();
            // Hashed once more, so that the audit log holds no part of what a guess could be checked against cheaply.
            let name = hex::encode(&Sha256::digest([b"chat-relay admin key id: ".as_slice(), &digest].concat())[..4]);
            AdminKey { digest, actor: format!("admin_key:{name}").into() }
        });
        Self(named.collect())
    }

    /// Who calls, where `given` is one of the keys.
    pub(crate) fn authenticate(&self, given: Option<&[u8]>) -> Result<Arc<str>, ApiError> {
        // Digests have one length, so the comparison tells nothing of the key's. It ends at no match: the time tells nothing
        // of how many keys there are before it.
        let digest: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        let mut caller = None;
        for key in &*self.0 {
            if bool::from(key.digest.ct_eq(&digest)) {
                caller = Some(&key.actor);
            }
        }
        match caller {
            Some(actor) if given.is_some() => Ok(Arc::clone(actor)),
            _ => Err(refused_admin_key(given.is_some_and(|key| !key.is_empty()))),
        }
    }
}

/// Refuses a caller without the admin key. If the caller sent another key, the message says that it is wrong, not that it is missing.
fn refused_admin_key(was_sent: bool) -> ApiError {
    if was_sent {
        ApiError::new(ErrorCode::InvalidAdminKey, "The admin key that was sent is wrong.").advise(
            "X-Admin-Key must be the admin service's ADMIN_API_KEY.",
            "The metadata x-admin-key must be the admin service's ADMIN_API_KEY.",
        )
    } else {
        ApiError::new(ErrorCode::InvalidAdminKey, "No admin key was sent.").advise(
            "Send the admin service's ADMIN_API_KEY in the header X-Admin-Key.",
            "Send the admin service's ADMIN_API_KEY as the metadata x-admin-key.",
        )
    }
}

/// Where tenants and browsers reach the relay, without a trailing slash.
#[derive(Clone)]
pub(crate) struct RelayUrl(Arc<str>);

impl RelayUrl {
    pub(crate) fn new(url: &Url) -> Self {
        Self(url.as_str().trim_end_matches('/').into())
    }
}

/// The facade's router, edges not included.
pub(crate) fn router(
    tenants: Tenants,
    logs: Logs,
    developers: Developers,
    keys: Keys,
    gate: OperatorGate,
    relay_url: RelayUrl,
    probes: Router,
) -> Router {
    let (of_tenants, _) = tenant_routes().split_for_parts();
    let (of_logs, _) = log_routes().split_for_parts();
    let (of_account_keys, _) = account_key_routes().split_for_parts();
    let (of_developers, _) = developer_routes().split_for_parts();
    let (of_signing_keys, _) = signing_key_routes().split_for_parts();
    let protected = of_tenants
        .with_state(tenants.clone())
        .merge(of_logs.with_state(logs))
        .merge(of_account_keys.with_state(developers.account_keys.clone()))
        .merge(of_signing_keys.with_state(keys.clone()))
        .layer(Extension(relay_url))
        .layer(middleware::from_fn_with_state(gate, require_admin_key));
    Router::new()
        .merge(protected)
        .merge(of_developers.with_state(developers))
        .merge(probes)
        .route("/.well-known/jwks.json", get(signing_keys::jwks).with_state(keys))
        .merge(
            Router::from(
                SwaggerUi::new("/docs")
                    .url("/openapi.json", openapi())
                    // Without this the page asks a validator on the internet about the document.
                    .config(utoipa_swagger_ui::Config::default().validator_url("none")),
            )
            // It takes the admin key: nobody may lay another page over it.
            .layer(middleware::map_response(never_framed)),
        )
}

/// `/healthz` and `/readyz`.
pub(crate) fn probes(tenants: Tenants, stopping: CancellationToken) -> Router {
    health::routes(stopping, "database", move || {
        let tenants = tenants.clone();
        async move { tenants.is_available().await.map_err(|error| error.to_string()) }
    })
}

async fn never_framed(mut response: Response) -> Response {
    let policy = HeaderValue::from_static("frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// For operators, who come with the admin key.
fn account_key_routes() -> OpenApiRouter<AccountKeys> {
    OpenApiRouter::new()
        .routes(routes!(account_keys::create_account_key))
        .routes(routes!(account_keys::fetch_account_keys))
        .routes(routes!(account_keys::revoke_account_key))
}

/// For operators, who come with the admin key.
fn signing_key_routes() -> OpenApiRouter<Keys> {
    OpenApiRouter::new()
        .routes(routes!(signing_keys::rotate_signing_key))
        .routes(routes!(signing_keys::fetch_signing_keys))
        .routes(routes!(signing_keys::retire_signing_key))
}

/// For a tenant's developers, who come with an account key.
fn developer_routes() -> OpenApiRouter<Developers> {
    OpenApiRouter::new()
        .routes(routes!(bots::list_bots, bots::create_bot))
        .routes(routes!(widgets::list_widget_keys, widgets::create_widget_key))
        .routes(routes!(widgets::revoke_widget_key))
        .routes(routes!(widgets::get_customization, widgets::put_customization))
        .routes(routes!(widgets::get_embed_code))
}

/// For operators, who come with the admin key.
fn tenant_routes() -> OpenApiRouter<Tenants> {
    OpenApiRouter::new()
        .routes(routes!(tenants::provision_tenant))
        .routes(routes!(tenants::update_tenant))
        .routes(routes!(tenants::rotate_tenant_secret))
        .routes(routes!(tenants::rotate_widget_key))
        .routes(routes!(tenants::suspend_tenant))
        .routes(routes!(tenants::reactivate_tenant))
        .routes(routes!(tenants::fetch_tenant))
        .routes(routes!(tenants::fetch_tenants))
}

/// For operators, who come with the admin key.
fn log_routes() -> OpenApiRouter<Logs> {
    OpenApiRouter::new().routes(routes!(audit::fetch_audit_log)).routes(routes!(audit::fetch_access_log))
}

/// Lets in who has an admin key, over REST and over gRPC: guessing is slowed, and each failure leaves its row.
#[derive(Clone)]
pub(crate) struct OperatorGate {
    keys: AdminKeys,
    clients: ClientAddresses,
    guesses: Guesses,
    logs: Logs,
}

impl OperatorGate {
    pub(crate) fn new(keys: AdminKeys, clients: ClientAddresses, logs: Logs) -> Self {
        Self { keys, clients, guesses: Guesses::new(), logs }
    }

    /// Who calls, where `given` is one of the keys.
    ///
    /// # Errors
    /// `invalid_admin_key`; `rate_limited` where the address has come with too many wrong ones.
    pub(crate) fn admit(
        &self,
        given: Option<&[u8]>,
        address: Option<IpAddr>,
        request_id: &str,
    ) -> Result<Arc<str>, ApiError> {
        let now = Instant::now();
        let authenticated = match address {
            Some(address) => self.guesses.check(address, now).and_then(|()| self.keys.authenticate(given)),
            None => self.keys.authenticate(given),
        };
        if authenticated.is_err() {
            if let Some(address) = address.filter(|_| given.is_some()) {
                self.guesses.count(address, now);
            }
            let kind = AccessKind::RefuseOperator;
            let entry = AccessEntry { kind, tenant_id: None, actor: "unknown", subject: String::new(), address };
            self.logs.note(entry, request_id);
        }
        authenticated
    }
}

async fn require_admin_key(State(gate): State<OperatorGate>, mut request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip());
    let address = peer.map(|peer| gate.clients.find(request.headers(), peer));
    let given = request.headers().get(X_ADMIN_KEY).map(http::HeaderValue::as_bytes);
    match gate.admit(given, address, &request_id) {
        Ok(actor) => {
            request.extensions_mut().insert(Caller { actor: actor.to_string(), request_id });
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}
