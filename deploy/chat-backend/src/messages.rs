//! Messages: added by a tenant's backend, and fetched.

use axum::extract::State;
use service::{ApiError, Envelope, Failure, Success};

use super::{
    body,
    extract::{Object, Params, Tenant},
    records::{conversations, messages},
    saying::{Said, say},
    state::Backend,
    store::{Store, unavailable},
    views::{List, Message, given, page},
};

/// Add a message. To a visitor's, while the bot answers, the bot replies before this returns: with a passage of what was
/// ingested, or by handing over to a person with a ticket. After such a hand-over the bot goes on answering what it knows and
/// is silent to the rest; it is silent to all once the visitor has asked for a person, or one has answered. A message with
/// `role` `agent` is a person's answer: it makes the conversation `assigned`.
#[utoipa::path(
    post, path = "/add/message", tag = "messages", request_body = body::NewMessage,
    params(("conversation_id" = String, Query)),
    responses(
        (status = 201, description = "Added", body = Envelope<Message>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn add_message(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
    Object(object): Object,
) -> Result<Success<Message>, ApiError> {
    let conversation_id = query.required::<String>("conversation_id");
    query.finish()?;
    let conversation_id = given(conversation_id)?;
    let body::NewMessage { role, content, attachments, quick_replies } = body::NewMessage::read(object)?;
    let said = Said {
        role,
        content: &content,
        attachments,
        quick_replies,
        client_id: None,
        operator_id: None,
        uploader: None,
    };
    let message = say(&backend, tenant_id, &conversation_id, said, |_| Ok(())).await?;
    Ok(Success::created(Message::from(message), "Message added."))
}

/// A conversation's messages, oldest first; `after` a message, to go on.
#[utoipa::path(
    get, path = "/fetch/messages", tag = "messages",
    params(
        ("conversation_id" = String, Query),
        ("after" = Option<String>, Query, description = "The id of the last message known"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 500),
        ("offset" = Option<u64>, Query),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<List<Message>>),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_messages(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Message>>, ApiError> {
    let conversation_id = query.required::<String>("conversation_id");
    let after = query.optional::<String>("after").unwrap_or_default();
    let (limit, offset) = page(&mut query, 100);
    query.finish()?;
    let rows = store.of(tenant_id);
    let conversation = conversations::find(&rows, &given(conversation_id)?).await?;
    let found = messages::page(&rows, &conversation.row.id, &after, (limit, offset)).await.map_err(unavailable)?;
    let items = found.into_iter().map(Message::from).collect();
    Ok(Success::ok(List { items, limit, offset }, "Messages fetched."))
}
