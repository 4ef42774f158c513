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
    events::{Scene, Usage},
    handling::{Handling, WaitingReason},
    outbox::Outbox,
    records::{
        conversations::{self, Conversation},
        messages::{self, Inserted, MessageRow, NewMessage},
        tickets::{self, NewTicket, TicketNumber, TicketRef},
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
    let kept = messages::insert(&rows, conversation_id, new).await.map_err(unavailable)?;
    let exchange = Exchange { rows, outbox: &backend.outbox, conversation: &conversation };
    exchange.tell(role, &kept).await.map_err(unavailable)?;
    match (reply, role, conversation.handling) {
        // Only while the bot may still answer: a person may have taken over during the search.
        (Some(reply), _, Handling::Bot) => exchange.answer(content, reply).await,
        (Some(reply), _, Handling::Waiting(reason)) if reason.bot_may_answer() => {
            exchange.answer_while_waiting(reply).await
        }
        (_, Role::Visitor, Handling::Waiting(WaitingReason::HumanMode)) => exchange.open_first_ticket(content).await,
        (_, Role::Agent, Handling::Bot | Handling::Waiting(_)) => exchange.assign().await,
        _ => Ok(()),
    }
    .map_err(unavailable)?;
    let message = messages::find(&exchange.rows, conversation_id, &kept.id).await.map_err(unavailable)?;
    let message = message.ok_or_else(|| ApiError::internal("a message that was just written is not there"))?;
    commit(transaction).await?;
    backend.outbox.wake();
    backend.notifier.changed(conversation_id);
    Ok(message)
}

/// A message that was kept, in the transaction that keeps it: what the message sets off is written here.
struct Exchange<'a, C> {
    rows: OfTenant<'a, C>,
    outbox: &'a Outbox,
    /// The conversation, as it was before the message.
    conversation: &'a Conversation,
}

impl<C: ConnectionTrait> Exchange<'_, C> {
    /// Notes the message itself. The tenant hears of visitors' messages. Its quota counts every message of a visitor or its own
    /// backend, except those that its backend says are a bot's.
    async fn tell(&self, role: Role, kept: &Inserted) -> Result<(), StoreError> {
        if role == Role::Visitor {
            self.outbox.note(&self.rows, &Scene::from(self.conversation).message_received(kept)).await?;
        }
        if role != Role::Bot {
            self.outbox.count(&self.rows, &Usage::from(kept)).await?;
        }
        Ok(())
    }

    async fn answer(&self, question: &str, reply: Reply) -> Result<(), StoreError> {
        match reply {
            Reply::Greet => {
                let text =
                    self.in_its_language("Bonjour ! Que puis-je faire pour vous ?", "Hello! What can I do for you?");
                self.say(NewMessage::plain(Role::Bot, text)).await
            }
            Reply::Answer { content, citations, confidence } => self.say_answer(&content, citations, confidence).await,
            Reply::HandOver(reason) => {
                let handling = Handling::Waiting(reason);
                conversations::set_handling(&self.rows, &self.conversation.row.id, handling).await?;
                let ticket = self.open_ticket(question, reason).await?;
                self.say_person_comes(Some(ticket.number)).await
            }
        }
    }

    /// The bot did not know an answer, and no person has come yet. It answers the questions that it can, and is silent to the rest.
    /// PROTOCOL.md, section 8.
    async fn answer_while_waiting(&self, reply: Reply) -> Result<(), StoreError> {
        match reply {
            Reply::Answer { content, citations, confidence } => self.say_answer(&content, citations, confidence).await,
            Reply::HandOver(WaitingReason::UserRequest) => {
                // From here on the bot is silent, so the visitor is told once more that the request was heard.
                let handling = Handling::Waiting(WaitingReason::UserRequest);
                conversations::set_handling(&self.rows, &self.conversation.row.id, handling).await?;
                let ticket = tickets::find_newest(&self.rows, &self.conversation.row.id).await?;
                if let Some(ticket) = &ticket {
                    self.outbox.note(&self.rows, &Scene::from(self.conversation).person_requested(ticket)).await?;
                }
                self.say_person_comes(ticket.map(|ticket| ticket.number)).await
            }
            Reply::Greet | Reply::HandOver(_) => Ok(()),
        }
    }

    /// With `mode=human` the first message opens the ticket: a conversation in which nothing was said needs nobody.
    async fn open_first_ticket(&self, message: &str) -> Result<(), StoreError> {
        if tickets::find_newest(&self.rows, &self.conversation.row.id).await?.is_some() {
            return Ok(());
        }
        self.open_ticket(message, WaitingReason::HumanMode).await.map(drop)
    }

    /// A person takes the conversation over, and the tickets that waited for a person.
    async fn assign(&self) -> Result<(), StoreError> {
        conversations::set_handling(&self.rows, &self.conversation.row.id, Handling::Assigned).await?;
        for ticket in tickets::assign(&self.rows, &self.conversation.row.id).await? {
            self.outbox.note(&self.rows, &Scene::from(self.conversation).ticket_assigned(&ticket)).await?;
        }
        Ok(())
    }

    async fn open_ticket(&self, message: &str, reason: WaitingReason) -> Result<TicketRef, StoreError> {
        let ticket = NewTicket {
            user_id: &self.conversation.row.visitor_user_id,
            subject: &message.chars().take(120).collect::<String>(),
            description: message,
            priority: "p3",
            tags: vec!["escalation".to_owned(), reason.as_str().to_owned()],
            conversation_id: &self.conversation.row.id,
            escalation_id: Some(Uuid::now_v7().to_string()),
        };
        let ticket = tickets::insert(&self.rows, ticket).await?;
        for event in Scene::from(self.conversation).handed_over(&ticket, reason) {
            self.outbox.note(&self.rows, &event).await?;
        }
        Ok(ticket)
    }

    async fn say_answer(&self, content: &str, citations: Vec<Citation>, confidence: f64) -> Result<(), StoreError> {
        let plain = NewMessage::plain(Role::Bot, content);
        self.say(NewMessage { citations, confidence: Some(confidence), ..plain }).await
    }

    async fn say_person_comes(&self, ticket_number: Option<TicketNumber>) -> Result<(), StoreError> {
        let mut text = self.in_its_language("Une personne va vous répondre.", "A person will answer you.").to_owned();
        if let Some(number) = ticket_number {
            text.push_str(&format!(" {}{number}.", self.in_its_language("Votre ticket : ", "Your ticket: ")));
        }
        self.say(NewMessage::plain(Role::System, &text)).await
    }

    async fn say(&self, new: NewMessage<'_>) -> Result<(), StoreError> {
        messages::insert(&self.rows, &self.conversation.row.id, new).await.map(drop)
    }

    fn in_its_language(&self, french: &'static str, english: &'static str) -> &'static str {
        if self.conversation.row.locale.starts_with("fr") { french } else { english }
    }
}
