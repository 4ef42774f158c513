//! What a message sets off: the bot's answer, or a person's ticket, in one transaction. PROTOCOL.md, section 8.

use sea_orm::ConnectionTrait;
use service::ApiError;
use uuid::Uuid;
use wire::{
    TenantId,
    attachments::Attachment,
    frames::{Citation, Role},
};

use super::{
    bot::Reply,
    handling::{Handling, WaitingReason},
    records::{
        conversations::{self, Conversation},
        messages::{self, MessageRow, NewMessage},
        tickets::{self, NewTicket, TicketNumber},
    },
    state::Backend,
    store::{OfTenant, StoreError, commit, unavailable},
};

/// A message that is about to be kept.
pub(crate) struct Said<'a> {
    pub(crate) role: Role,
    pub(crate) content: &'a str,
    pub(crate) attachments: Vec<Attachment>,
    /// The client's own id. A message that is kept under it already is answered, and not written again.
    pub(crate) client_id: Option<&'a str>,
}

/// Keeps a message and what it sets off, and wakes the conversation's sockets.
pub(crate) async fn say(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    said: Said<'_>,
) -> Result<MessageRow, ApiError> {
    let store = &backend.store;
    let Said { role, content, attachments, client_id } = said;
    // The search takes the longest, so it comes before the transaction takes the one writer's place.
    let conversation = conversations::find(&store.of(tenant_id), conversation_id).await?;
    let reply = match role {
        Role::Visitor if conversation.handling.bot_may_answer() => {
            Some(backend.bot_reply(tenant_id, &conversation, content).await.map_err(unavailable)?)
        }
        _ => None,
    };
    let transaction = store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let conversation = conversations::find(&rows, conversation_id).await?;
    if let Some(client_id) = client_id
        && let Some(there) =
            messages::find_by_client_id(&rows, conversation_id, client_id).await.map_err(unavailable)?
    {
        return Ok(there);
    }
    let new = NewMessage { attachments, client_id, ..NewMessage::plain(role, content) };
    let id = messages::insert(&rows, conversation_id, new).await.map_err(unavailable)?;
    match (reply, role, conversation.handling) {
        // Only while the bot may still answer: a person may have taken over during the search.
        (Some(reply), _, Handling::Bot) => answer(&rows, &conversation, content, reply).await,
        (Some(reply), _, Handling::Waiting(reason)) if reason.bot_may_answer() => {
            answer_while_waiting(&rows, &conversation, reply).await
        }
        (_, Role::Agent, Handling::Bot | Handling::Waiting(_)) => assign(&rows, conversation_id).await,
        _ => Ok(()),
    }
    .map_err(unavailable)?;
    let message = messages::find(&rows, conversation_id, &id).await.map_err(unavailable)?;
    let message = message.ok_or_else(|| ApiError::internal("a message that was just written is not there"))?;
    commit(transaction).await?;
    backend.notifier.changed(conversation_id);
    Ok(message)
}

async fn answer(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation: &Conversation,
    question: &str,
    reply: Reply,
) -> Result<(), StoreError> {
    match reply {
        Reply::Greet => {
            let french = conversation.row.locale.starts_with("fr");
            let text = if french { "Bonjour ! Que puis-je faire pour vous ?" } else { "Hello! What can I do for you?" };
            messages::insert(rows, &conversation.row.id, NewMessage::plain(Role::Bot, text)).await?;
        }
        Reply::Answer { content, citations, confidence } => {
            say_answer(rows, conversation, &content, &citations, confidence).await?;
        }
        Reply::HandOver(reason) => hand_over(rows, conversation, question, reason).await?,
    }
    Ok(())
}

async fn say_answer(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation: &Conversation,
    content: &str,
    citations: &[Citation],
    confidence: f64,
) -> Result<(), StoreError> {
    let new = NewMessage {
        citations: citations.to_vec(),
        confidence: Some(confidence),
        ..NewMessage::plain(Role::Bot, content)
    };
    messages::insert(rows, &conversation.row.id, new).await.map(drop)
}

/// The bot did not know an answer, and no person has come yet. It answers the questions that it can, and is silent to the rest.
/// PROTOCOL.md, section 8.
async fn answer_while_waiting(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation: &Conversation,
    reply: Reply,
) -> Result<(), StoreError> {
    match reply {
        Reply::Answer { content, citations, confidence } => {
            say_answer(rows, conversation, &content, &citations, confidence).await
        }
        Reply::HandOver(WaitingReason::UserRequest) => {
            // From here on the bot is silent, so the visitor is told once more that the request was heard.
            let handling = Handling::Waiting(WaitingReason::UserRequest);
            conversations::set_handling(rows, &conversation.row.id, handling).await?;
            let number = tickets::find_newest_number(rows, &conversation.row.id).await?;
            say_person_comes(rows, conversation, number).await
        }
        Reply::Greet | Reply::HandOver(_) => Ok(()),
    }
}

/// A person takes the conversation over, and the tickets that waited for a person.
async fn assign(rows: &OfTenant<'_, impl ConnectionTrait>, conversation_id: &str) -> Result<(), StoreError> {
    conversations::set_handling(rows, conversation_id, Handling::Assigned).await?;
    tickets::assign(rows, conversation_id).await
}

async fn say_person_comes(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation: &Conversation,
    ticket_number: Option<TicketNumber>,
) -> Result<(), StoreError> {
    let french = conversation.row.locale.starts_with("fr");
    let mut text = if french { "Une personne va vous répondre." } else { "A person will answer you." }.to_owned();
    if let Some(number) = ticket_number {
        text.push_str(&if french { format!(" Votre ticket : {number}.") } else { format!(" Your ticket: {number}.") });
    }
    let new = NewMessage::plain(Role::System, &text);
    messages::insert(rows, &conversation.row.id, new).await.map(drop)
}

async fn hand_over(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation: &Conversation,
    question: &str,
    reason: WaitingReason,
) -> Result<(), StoreError> {
    conversations::set_handling(rows, &conversation.row.id, Handling::Waiting(reason)).await?;
    let ticket = NewTicket {
        user_id: &conversation.row.visitor_user_id,
        subject: &question.chars().take(120).collect::<String>(),
        description: question,
        priority: "p3",
        tags: vec!["escalation".to_owned(), reason.as_str().to_owned()],
        conversation_id: &conversation.row.id,
        escalation_id: Some(Uuid::now_v7().to_string()),
    };
    let (_, number) = tickets::insert(rows, ticket).await?;
    say_person_comes(rows, conversation, Some(number)).await
}
