//! Conversations: begun by a tenant for a visitor, fetched, listed.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};
use wire::frames::Mode;

use super::{
    body,
    events::Scene,
    extract::{Object, Params, Tenant},
    handling::Handling,
    records::conversations::{self, NewConversation},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, Store, unavailable},
    views::{Conversation, List, given, page},
};

/// Begin a conversation. `visitor_user_id` is the tenant's own name for the visitor.
#[utoipa::path(
    post, path = "/create/conversation", tag = "conversations", request_body = body::NewConversation,
    responses(
        (status = 201, description = "Begun", body = Envelope<Conversation>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn create_conversation(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Object(object): Object,
) -> Result<Success<Conversation>, ApiError> {
    let store = &backend.store;
    let given = body::NewConversation::read(object)?;
    let new = NewConversation {
        visitor_user_id: given.visitor_user_id,
        visitor_display_name: given.visitor_display_name,
        visitor_email: given.visitor_email,
        visitor_phone: given.visitor_phone,
        locale: given.locale,
        channel: given.channel,
        handling: Handling::Bot,
        mode: Mode::Bot,
        metadata: given.metadata,
    };
    let transaction = store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let id = conversations::insert(&rows, new).await.map_err(unavailable)?;
    let conversation = conversations::find(&rows, &id).await?;
    let started = Scene::from(&conversation).conversation_started();
    backend.outbox.note(&rows, &started).await.map_err(unavailable)?;
    let visitor_user_id = conversation.row.visitor_user_id.clone();
    backend.commit(transaction, ReplicaMessage::Began { tenant_id, visitor_user_id }).await?;
    Ok(Success::created(conversation.into(), "Conversation begun."))
}

/// One conversation.
#[utoipa::path(
    get, path = "/fetch/conversation", tag = "conversations",
    params(("conversation_id" = String, Query)),
    responses(
        (status = 200, description = "The conversation", body = Envelope<Conversation>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_conversation(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<Conversation>, ApiError> {
    let id = query.required::<String>("conversation_id");
    query.finish()?;
    let conversation = conversations::find(&store.of(tenant_id), &given(id)?).await?;
    Ok(Success::ok(conversation.into(), "Conversation fetched."))
}

/// Conversations, newest first; of one visitor, or of all.
#[utoipa::path(
    get, path = "/fetch/conversations", tag = "conversations",
    params(
        ("visitor_user_id" = Option<String>, Query),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500),
        ("offset" = Option<u64>, Query),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<List<Conversation>>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_conversations(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Conversation>>, ApiError> {
    let visitor = query.optional::<String>("visitor_user_id");
    let (limit, offset) = page(&mut query, 20);
    query.finish()?;
    let found = conversations::page(&store.of(tenant_id), visitor, (limit, offset)).await?;
    let items = found.into_iter().map(Conversation::from).collect();
    Ok(Success::ok(List { items, limit, offset }, "Conversations fetched."))
}
