//! Messages, and what a visitor's message sets off: the bot's answer, or a person's ticket, in one transaction.

use axum::extract::State;
use sea_orm::{ConnectionTrait, Value as SqlValue};
use serde_json::json;
use service::{ApiError, Envelope, Failure, Success, fields::Fields};
use uuid::Uuid;
use wire::{
    TenantId,
    attachments::Attachment,
    frames::limits::{SIGNED_MESSAGE_ATTACHMENTS, SIGNED_MESSAGE_CHARS},
};

use super::{
    Backend, Object, Params, Tenant, body,
    bot::{Citation, Reply},
    dto::{Conversation, List, MESSAGE, Message, MessageRow, given, page},
    handling::{Handling, WaitingReason},
    records::{self, NewMessage, NewTicket},
    store::{Store, StoreError, all, commit, one, unavailable},
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
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn add_message(
    State(backend): State<Backend>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
    Object(object): Object,
) -> Result<Success<Message>, ApiError> {
    let conversation_id = query.required::<String>("conversation_id");
    query.finish()?;
    let conversation_id = given(conversation_id)?;
    let mut fields = Fields::new(object);
    let role = fields.choice("role", &["visitor", "agent", "bot", "system"], "visitor");
    let content = fields.text("content", SIGNED_MESSAGE_CHARS);
    let attachments = fields.attachments("attachments", SIGNED_MESSAGE_ATTACHMENTS);
    fields.finish()?;

    let said = Said { role, content: &content, attachments, client_id: None };
    let message = say(&backend, tenant_id, &conversation_id, said).await?;
    Ok(Success::created(message, "Message added."))
}

/// What somebody says.
pub(super) struct Said<'a> {
    pub(super) role: &'a str,
    pub(super) content: &'a str,
    pub(super) attachments: Vec<Attachment>,
    /// The caller's own id: what is said again under it is there already.
    pub(super) client_id: Option<&'a str>,
}

/// Writes a message and what it sets off, and tells those who listen.
pub(super) async fn say(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    said: Said<'_>,
) -> Result<Message, ApiError> {
    let store = &backend.store;
    let Said { role, content, attachments, client_id } = said;
    // Looked up before the one writer's place is taken: a search is the longest part of it all.
    let conversation = records::find_conversation(store.reader(), tenant_id, conversation_id).await?;
    let reply = match role {
        "visitor" if conversation.handling.bot_may_answer() => {
            Some(backend.bot_reply(tenant_id, &conversation, content).await.map_err(unavailable)?)
        }
        _ => None,
    };
    let transaction = store.begin().await.map_err(unavailable)?;
    let conversation = records::find_conversation(&transaction, tenant_id, conversation_id).await?;
    if let Some(client_id) = client_id
        && let Some(there) = records::find_said(&transaction, conversation_id, client_id).await.map_err(unavailable)?
    {
        return Ok(there);
    }
    let new = NewMessage { attachments, client_id, ..NewMessage::plain(role, content) };
    let id = records::insert_message(&transaction, tenant_id, conversation_id, new).await.map_err(unavailable)?;
    match (reply, role, conversation.handling) {
        // A person may have taken over meanwhile: then the bot keeps what it found to itself.
        (Some(reply), _, Handling::Bot) => answer(&transaction, tenant_id, &conversation, content, reply).await,
        (Some(reply), _, Handling::Waiting(reason)) if reason.bot_may_answer() => {
            answer_while_waiting(&transaction, tenant_id, &conversation, reply).await
        }
        (_, "agent", Handling::Bot | Handling::Waiting(_)) => assign(&transaction, tenant_id, conversation_id).await,
        _ => Ok(()),
    }
    .map_err(unavailable)?;
    let sql = format!("SELECT {MESSAGE} FROM message WHERE tenant_id = ? AND id = ?");
    let message = one::<MessageRow>(&transaction, &sql, [tenant_id.to_string().into(), id.into()])
        .await
        .map_err(unavailable)?
        .ok_or_else(|| ApiError::internal("a message that was just written is not there"))?;
    commit(transaction).await?;
    backend.notifier.changed(conversation_id);
    Ok(message.into())
}

async fn answer(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation: &Conversation,
    question: &str,
    reply: Reply,
) -> Result<(), StoreError> {
    match reply {
        Reply::Greet => {
            let french = conversation.locale.starts_with("fr");
            let text = if french { "Bonjour ! Que puis-je faire pour vous ?" } else { "Hello! What can I do for you?" };
            records::insert_message(connection, tenant_id, &conversation.id, NewMessage::plain("bot", text)).await?;
        }
        Reply::Answer { content, citations, confidence } => {
            say_answer(connection, tenant_id, conversation, &content, &citations, confidence).await?;
        }
        Reply::HandOver(reason) => hand_over(connection, tenant_id, conversation, question, reason).await?,
    }
    Ok(())
}

async fn say_answer(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation: &Conversation,
    content: &str,
    citations: &[Citation],
    confidence: f64,
) -> Result<(), StoreError> {
    let new =
        NewMessage { citations: json!(citations), confidence: Some(confidence), ..NewMessage::plain("bot", content) };
    records::insert_message(connection, tenant_id, &conversation.id, new).await.map(drop)
}

/// The bot did not know something, and nobody has come yet: it answers what it knows, and says nothing to what it does not.
/// PROTOCOL.md, section 8.
async fn answer_while_waiting(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation: &Conversation,
    reply: Reply,
) -> Result<(), StoreError> {
    match reply {
        Reply::Answer { content, citations, confidence } => {
            say_answer(connection, tenant_id, conversation, &content, &citations, confidence).await
        }
        Reply::HandOver(WaitingReason::UserRequest) => {
            // From here on the bot is silent, so the visitor is told once more that the request was heard.
            let handling = Handling::Waiting(WaitingReason::UserRequest);
            records::set_handling(connection, tenant_id, &conversation.id, handling).await?;
            let number = records::find_ticket_number(connection, tenant_id, &conversation.id).await?;
            say_person_comes(connection, tenant_id, conversation, number.as_deref()).await
        }
        Reply::Greet | Reply::HandOver(_) => Ok(()),
    }
}

/// A person has taken the conversation over, and with it the tickets that waited for one.
async fn assign(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation_id: &str,
) -> Result<(), StoreError> {
    records::set_handling(connection, tenant_id, conversation_id, Handling::Assigned).await?;
    records::assign_tickets(connection, tenant_id, conversation_id).await
}

async fn say_person_comes(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation: &Conversation,
    ticket_number: Option<&str>,
) -> Result<(), StoreError> {
    let french = conversation.locale.starts_with("fr");
    let mut text = if french { "Une personne va vous répondre." } else { "A person will answer you." }.to_owned();
    if let Some(number) = ticket_number {
        text.push_str(&if french { format!(" Votre ticket : {number}.") } else { format!(" Your ticket: {number}.") });
    }
    let new = NewMessage::plain("system", &text);
    records::insert_message(connection, tenant_id, &conversation.id, new).await.map(drop)
}

async fn hand_over(
    connection: &impl ConnectionTrait,
    tenant_id: TenantId,
    conversation: &Conversation,
    question: &str,
    reason: WaitingReason,
) -> Result<(), StoreError> {
    records::set_handling(connection, tenant_id, &conversation.id, Handling::Waiting(reason)).await?;
    let ticket = NewTicket {
        user_id: &conversation.visitor_user_id,
        subject: &question.chars().take(120).collect::<String>(),
        description: question,
        priority: "p3",
        tags: vec!["escalation".to_owned(), reason.as_str().to_owned()],
        conversation_id: &conversation.id,
        escalation_id: Some(Uuid::now_v7().to_string()),
    };
    let (_, number) = records::insert_ticket(connection, tenant_id, ticket).await?;
    say_person_comes(connection, tenant_id, conversation, Some(&number)).await
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
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 404, description = "`conversation_not_found`", body = Failure),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(super) async fn fetch_messages(
    State(store): State<Store>,
    Tenant(tenant_id): Tenant,
    Params(mut query): Params,
) -> Result<Success<List<Message>>, ApiError> {
    let conversation_id = query.required::<String>("conversation_id");
    let after = query.optional::<String>("after").unwrap_or_default();
    let (limit, offset) = page(&mut query, 100);
    query.finish()?;
    let conversation = records::find_conversation(store.reader(), tenant_id, &given(conversation_id)?).await?;
    let sql = format!(
        "SELECT {MESSAGE} FROM message WHERE conversation_id = ? AND tenant_id = ? AND id > ? ORDER BY id LIMIT ? OFFSET ?"
    );
    let values: [SqlValue; 5] =
        [conversation.id.into(), tenant_id.to_string().into(), after.into(), limit.into(), offset.into()];
    let rows: Vec<MessageRow> = all(store.reader(), &sql, values).await.map_err(unavailable)?;
    let items = rows.into_iter().map(Message::from).collect();
    Ok(Success::ok(List { items, limit, offset }, "Messages fetched."))
}
