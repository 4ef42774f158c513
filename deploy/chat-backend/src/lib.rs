//! The reference chat backend: conversations, messages, tickets, knowledge and a bot, on SQLite or PostgreSQL.
//!
//! An example of what stands behind the relay: its OpenAPI document is the contract for chat backends. It believes
//! nothing that is not under HMAC#2, and every query is one tenant's. It runs inside the one-process deployment, or as
//! `chat-relay backend`, which both stand in `deploy/standalone`.
//!
//! Handlers (`conversations.rs`, `messages.rs`, `tickets.rs`, `knowledge.rs`) read a call and answer it; `saying.rs` decides what a
//! message sets off; `records/` has the rows, and `views/` what callers are shown. `events.rs` says what the backend tells of itself,
//! `outbox.rs` keeps it in the transaction of what it tells of, and `publisher.rs` sends it to the admin service. `replicas.rs` has what
//! replicas on one PostgreSQL tell each other, and `replica_link.rs` wakes the sockets.

use axum::{Router, middleware, routing::get};
use secrecy::ExposeSecret as _;
use service::{config::SecretList, health};
use utoipa::{Modify as _, OpenApi as _};
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::signature::{RelayKey, RelayKeys};

mod answers_email;
mod attachments;
mod body;
mod bot;
mod channel;
pub mod config;
mod connector;
mod conversations;
mod demo_knowledge;
mod document;
mod events;
mod events_url;
mod extract;
mod feedback;
mod files;
mod files_url;
mod handling;
mod inbox;
mod inbox_frames;
mod knowledge;
mod mailer;
mod mails;
mod messages;
mod notifier;
mod operators;
mod outbox;
mod publisher;
mod rating;
mod records;
mod replica_link;
mod replicas;
mod saying;
mod sockets;
mod state;
mod store;
mod takeover;
mod taking_over;
mod ticket_status;
mod tickets;
mod verify;
mod views;

use document::{Document, SignedByTheRelay};
pub use events_url::EventsUrl;
pub use files::ObjectsError;
pub use files_url::FilesUrl;
pub use state::Backend;
pub use store::{Store, StoreError};

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
        .routes(routes!(attachments::upload_attachment))
        .routes(routes!(attachments::fetch_attachment))
        .routes(routes!(attachments::delete_attachment))
        .routes(routes!(sockets::visitor_socket))
        .routes(routes!(sockets::operator_socket))
        .merge(operators::routes())
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
            async move { store.ping().await.map(|()| None).map_err(|error| error.to_string()) }
        }))
}
