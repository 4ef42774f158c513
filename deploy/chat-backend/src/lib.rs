//! The reference chat backend: conversations, messages, tickets, knowledge and a bot, on SQLite.
//!
//! An example of what stands behind the relay: its OpenAPI document is the contract for chat backends. It believes
//! nothing that is not under HMAC#2, and every query is one tenant's. It runs inside the one-process deployment, or as
//! `chat-relay backend`, which both stand in `deploy/standalone`.

use axum::{
    Router,
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
    middleware,
    routing::get,
};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use service::{ApiError, Failure, body::json_object, config::SecretList, health, query::Query};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::{
    Modify, OpenApi, PartialSchema as _,
    openapi::{
        Required,
        path::{ParameterBuilder, ParameterIn},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::{
    TenantId,
    signature::{RelayKey, RelayKeys},
};

mod body;
mod bot;
pub mod config;
mod conversations;
mod demo_knowledge;
mod dto;
mod handling;
mod knowledge;
mod messages;
mod notifier;
mod records;
mod sockets;
mod store;
mod tickets;
mod verify;

use bot::Reply;
use demo_knowledge::DemoKnowledge;
use dto::Conversation;
use notifier::ConversationNotifier;
pub use store::{Store, StoreError};

/// What the routes share.
#[derive(Clone, Debug)]
pub struct Backend {
    store: Store,
    notifier: ConversationNotifier,
    /// What the bot answers visitors of local pages from, for tenants that have ingested nothing; only on a laptop where `/demo`
    /// is on.
    demo_knowledge: Option<DemoKnowledge>,
    /// Visitors' sockets, which outlive the requests they began as.
    sockets: TaskTracker,
    stopping: CancellationToken,
}

impl Backend {
    /// Over an open store, until `stopping` is cancelled.
    #[must_use]
    pub fn new(store: Store, stopping: CancellationToken) -> Self {
        Self {
            store,
            notifier: ConversationNotifier::default(),
            demo_knowledge: None,
            sockets: TaskTracker::new(),
            stopping,
        }
    }

    /// Lets the bot answer from a few articles about a shop that does not exist: visitors of local pages (`localhost` or loopback),
    /// for tenants that have ingested nothing. Never for a deployment with real tenants: it would put words into their bots'
    /// mouths.
    ///
    /// # Errors
    /// The database's that is made for them in memory.
    pub async fn with_demo_knowledge(mut self) -> Result<Self, StoreError> {
        self.demo_knowledge = Some(DemoKnowledge::open().await?);
        Ok(self)
    }

    /// What the bot replies to a visitor's message.
    async fn bot_reply(
        &self,
        tenant_id: TenantId,
        conversation: &Conversation,
        message: &str,
    ) -> Result<Reply, StoreError> {
        let reader = self.store.reader();
        match &self.demo_knowledge {
            // A proxy that no setting names may bring a real shop's visitors to a loopback listener. Their page is not local: no demo.
            Some(demo) if conversation.is_of_local_page() && !knowledge::has_documents(reader, tenant_id).await? => {
                demo.reply(message).await
            }
            _ => bot::reply(reader, tenant_id, message).await,
        }
    }

    /// Waits until visitors' sockets are closed, and closes the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn close(self) -> Result<(), StoreError> {
        self.sockets.close();
        self.sockets.wait().await;
        self.store.close().await
    }
}

impl FromRef<Backend> for Store {
    fn from_ref(backend: &Backend) -> Self {
        backend.store.clone()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chat relay: what a chat backend answers",
        description = "The relay forwards every verified call under /api/v1/relay/<path> to <backend base>/<path>, signed \
                       with HMAC#2: X-Relay-Tenant-Id, X-Relay-Timestamp (Unix ms), X-Relay-Actor (tenant, \
                       visitor:<session> or operator:<id>) and X-Relay-Signature = \
                       hex(hmac_sha256(relay_secret, \"{timestamp}\\n{METHOD}\\n{path?query}\\n{tenant_id}\\n{actor}\\n{sha256_hex(body)}\")). \
                       The path in it is the one the backend receives, and begins with the path of the relay's chat_backend_url: with \
                       the base https://chat.example/v2, a call of /api/v1/relay/add/message?conversation_id=x is signed as \
                       /v2/add/message?conversation_id=x. A proxy that takes a prefix off the path breaks the signature. \
                       A backend must refuse anything whose signature is wrong or whose timestamp is more than 30 s from \
                       its own clock, and must show each tenant only its own. It refuses them with 401 and the header \
                       `X-Relay-Refused: signature`: the gateway then answers its caller 502 `backend_refused_relay` and \
                       logs an error, for no caller can mend that. The gateway takes a 401 without the header in the same \
                       way; a backend that answers 401 to the caller itself says `X-Relay-Refused: caller`, and the \
                       answer is passed on. At its start a gateway sends GET /fetch/conversations?limit=1 for the tenant \
                       00000000-0000-0000-0000-000000000000, which does not exist, to learn whether its signature is accepted.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "http://127.0.0.1:7814", description = "chat-relay backend's default")),
    components(schemas(Failure))
)]
struct Document;

/// Adds the headers of HMAC#2 to every call.
struct SignedByTheRelay;

impl Modify for SignedByTheRelay {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.extend(HEADERS.map(|(name, description)| {
                    ParameterBuilder::new()
                        .name(name)
                        .parameter_in(ParameterIn::Header)
                        .required(Required::True)
                        .description(Some(description))
                        .schema(Some(String::schema()))
                        .build()
                        .into()
                }));
            }
        }
    }
}

const HEADERS: [(&str, &str); 4] = [
    ("X-Relay-Tenant-Id", "The tenant the call is for: a UUID"),
    ("X-Relay-Timestamp", "Unix milliseconds, decimal"),
    ("X-Relay-Actor", "`tenant`, `visitor:<session>` or `operator:<id>`"),
    ("X-Relay-Signature", "HMAC#2, 64 hexadecimal digits"),
];

fn routes() -> OpenApiRouter<Backend> {
    OpenApiRouter::new()
        .routes(routes!(conversations::create_conversation))
        .routes(routes!(conversations::fetch_conversation))
        .routes(routes!(conversations::fetch_conversations))
        .routes(routes!(messages::add_message))
        .routes(routes!(messages::fetch_messages))
        .routes(routes!(tickets::create_contact_ticket))
        .routes(routes!(tickets::fetch_ticket))
        .routes(routes!(tickets::fetch_tickets))
        .routes(routes!(knowledge::ingest_knowledge))
        .routes(routes!(sockets::visitor_socket))
}

/// The OpenAPI 3.1 document: the contract for chat backends.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.merge(routes().into_openapi());
    SignedByTheRelay.modify(&mut document);
    document
}

/// The backend's router, edge not included.
pub fn router(backend: Backend, relay_secrets: &SecretList) -> Router {
    let keys: RelayKeys =
        relay_secrets.accepted().map(|secret| RelayKey::new(secret.expose_secret().as_bytes())).collect();
    let (signed, document) = routes().split_for_parts();
    drop(document);
    let (ready_store, stopping) = (backend.store.clone(), backend.stopping.clone());
    Router::new()
        .merge(signed.with_state(backend).layer(middleware::from_fn_with_state(keys, verify::require_relay)))
        .route("/openapi.json", get(|| async { axum::Json(openapi()) }))
        .merge(health::routes(stopping, "database", move || {
            let store = ready_store.clone();
            async move { store.ping().await.map_err(|error| error.to_string()) }
        }))
}

/// The tenant a verified call is for.
pub(crate) struct Tenant(TenantId);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<TenantId>()
            .copied()
            .map(Self)
            .ok_or_else(|| ApiError::internal("a signed route without its signature check"))
    }
}

/// The call's query parameters.
struct Params(Query);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(Query::parse_literal_plus(parts.uri.query())))
    }
}

/// The call's body: a JSON object, already read whole by the signature check.
struct Object(Map<String, Value>);

impl<S: Sync> FromRequestParts<S> for Object {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let bytes =
            parts.extensions.get::<verify::VerifiedBody>().ok_or_else(|| ApiError::internal("no verified body"))?;
        json_object(&bytes.0).map(Self)
    }
}
