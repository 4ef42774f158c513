//! What a message sets off: the bot's answer, or a person's ticket. PROTOCOL.md, section 8.

use sea_orm::ConnectionTrait;
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, TenantId, attachments::Attachment, frames::Role};

use super::{
    bot::{Answer, Reply},
    events::{Scene, Usage},
    handling::{Handling, WaitingReason},
    records::{
        conversations::{self, Conversation, Draft},
        files,
        messages::{self, Inserted, MessageRow, NewMessage},
        takeovers,
        tickets::{self, NewTicket, TicketNumber, TicketRef},
        waits,
    },
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, StoreError, unavailable},
    ticket_status::TicketStatus,
};

/// A message that is about to be kept.
pub(crate) struct Said<'a> {
    pub(crate) role: Role,
    pub(crate) content: &'a str,
    pub(crate) attachments: Vec<Attachment>,
    /// What the visitor may answer by a click.
    pub(crate) quick_replies: Vec<String>,
    /// The client's own id. A message that is kept under it already is answered, and not written again.
    pub(crate) client_id: Option<&'a str>,
    /// The operator who says it, if one does.
    pub(crate) operator_id: Option<&'a str>,
    /// Whose files the attachments may name: `visitor:<session>` or `operator:<id>`. `None` for a tenant's backend, which may name any
    /// address.
    pub(crate) uploader: Option<&'a str>,
}

/// Keeps a message and what it sets off, and wakes the conversation's sockets. The message is kept first, so that everybody sees it
/// while the bot composes its answer. The answer is kept in a transaction of its own, which looks again who answers: where a person took
/// over meanwhile, it becomes the person's draft.
pub(crate) async fn say(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    said: Said<'_>,
    may_say: impl Fn(&Conversation) -> Result<(), ApiError>,
) -> Result<MessageRow, ApiError> {
    let (role, content) = (said.role, said.content);
    let (kept, conversation) = keep(backend, tenant_id, conversation_id, said, may_say).await?;
    if role == Role::Visitor && conversation.handling.bot_may_answer() {
        let answering = answer(backend, tenant_id, &conversation, &kept, content);
        // The message is kept, and its client must hear of it whatever becomes of the answer.
        if let Err(error) = answering.await {
            tracing::error!(%tenant_id, conversation_id, cause = error.cause(), "the bot's answer was not kept");
        }
    }
    Ok(kept)
}

/// Keeps the message itself, and answers it with its conversation, as that is with the message.
async fn keep(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    said: Said<'_>,
    may_say: impl Fn(&Conversation) -> Result<(), ApiError>,
) -> Result<(MessageRow, Conversation), ApiError> {
    let Said { role, content, attachments, quick_replies, client_id, operator_id, uploader } = said;
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let conversation = conversations::find_to_change(&rows, conversation_id).await?;
    let judged = may_say(&conversation);
    // Who may not see the conversation learns nothing of what is kept in it.
    let may_see = !matches!(&judged, Err(error) if error.code() == ErrorCode::ConversationNotFound);
    if may_see
        && let Some(client_id) = client_id
        && let Some(there) =
            messages::find_by_client_id(&rows, conversation_id, client_id).await.map_err(unavailable)?
    {
        return Ok((there, conversation));
    }
    judged?;
    let (attachments, files) = match &backend.files {
        Some(files) if !attachments.is_empty() => files.claim(&rows, uploader, attachments).await?,
        _ => (attachments, Vec::new()),
    };
    let new = NewMessage { attachments, quick_replies, client_id, operator_id, ..NewMessage::plain(role, content) };
    let kept = messages::insert(&rows, conversation_id, new).await.map_err(unavailable)?;
    for id in &files {
        if !files::note_message(&rows, id, &kept.id).await.map_err(unavailable)? && uploader.is_some() {
            return Err(ApiError::field("attachments", "name a file that another message has named meanwhile"));
        }
    }
    let exchange = Exchange { rows, backend, conversation: &conversation, question: None };
    exchange.follow(role, content, &kept, operator_id.is_some()).await.map_err(unavailable)?;
    let message = messages::find(&exchange.rows, conversation_id, &kept.id).await.map_err(unavailable)?;
    let message = message.ok_or_else(|| ApiError::internal("a message that was just written is not there"))?;
    let now = conversations::find(&exchange.rows, conversation_id).await?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok((message, now))
}

/// Lets the bot answer a visitor's message. It composes whenever it might answer as the message was kept: so a person who takes over from
/// then on finds its draft.
async fn answer(
    backend: &Backend,
    tenant_id: TenantId,
    conversation: &Conversation,
    question: &MessageRow,
    content: &str,
) -> Result<(), ApiError> {
    // The search is slow, so it runs before the transaction takes the conversation's lock (on SQLite, the only writer's place).
    let reply = backend.bot_reply(tenant_id, conversation, content).await.map_err(unavailable)?;
    let conversation_id = conversation.row.id.as_str();
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let conversation = conversations::find_to_change(&rows, conversation_id).await?;
    // A message that came twice is answered once.
    if messages::is_answered(&rows, conversation_id, &question.id).await.map_err(unavailable)? {
        return Ok(());
    }
    let question = Some(question.id.as_str());
    let exchange = Exchange { rows, backend, conversation: &conversation, question };
    match (reply, conversation.handling) {
        (reply, Handling::Bot) => exchange.answer(content, reply).await,
        (reply, Handling::Waiting(reason)) if reason.bot_may_answer() => exchange.answer_while_waiting(reply).await,
        (Reply::Answer(Answer { content, citations, .. }), Handling::Assigned) => {
            let draft = Draft { content, citations };
            conversations::set_draft(&exchange.rows, conversation_id, Some(&draft)).await
        }
        _ => return Ok(()),
    }
    .map_err(unavailable)?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await
}

/// A message that was kept, in the transaction that keeps it: what the message sets off is written here.
struct Exchange<'a, C> {
    rows: OfTenant<'a, C>,
    backend: &'a Backend,
    /// The conversation, as it was before the message.
    conversation: &'a Conversation,
    /// The id of the visitor's message that is answered.
    question: Option<&'a str>,
}

impl<C: ConnectionTrait> Exchange<'_, C> {
    /// Notes the message, and what it changes before anybody has answered it. The tenant hears of visitors' messages. Its quota counts
    /// every message of a visitor or its own backend, except those that its backend says are a bot's.
    async fn follow(&self, role: Role, content: &str, kept: &Inserted, by_operator: bool) -> Result<(), StoreError> {
        if role == Role::Visitor {
            self.backend.outbox.note(&self.rows, &Scene::from(self.conversation).message_received(kept)).await?;
        }
        if role != Role::Bot && !by_operator {
            self.backend.outbox.count(&self.rows, &Usage::from(kept)).await?;
        }
        let id = self.conversation.row.id.as_str();
        match (role, self.conversation.handling) {
            (Role::Visitor, Handling::Resolved) => self.begin_again(content).await?,
            (Role::Visitor, Handling::Waiting(WaitingReason::HumanMode)) => self.begin_to_wait(content).await?,
            (Role::Agent, Handling::Bot | Handling::Waiting(_) | Handling::Resolved) => self.assign().await?,
            (Role::Agent, Handling::Assigned) => conversations::set_draft(&self.rows, id, None).await?,
            _ => {}
        }
        if role == Role::Agent {
            self.backend.mails.note(&self.rows, id).await?;
        }
        // Who put a conversation aside wants to hear when its visitor speaks.
        if role == Role::Visitor && self.conversation.row.snoozed_until.is_some() {
            takeovers::snooze(&self.rows, id, None).await?;
        }
        Ok(())
    }

    /// A visitor goes on in a conversation that was resolved: the bot answers again, or a person is awaited, and the ticket is back.
    async fn begin_again(&self, message: &str) -> Result<(), StoreError> {
        let id = self.conversation.row.id.as_str();
        let handling = Handling::Resolved.after_visitors_message(self.conversation.mode);
        conversations::set_handling(&self.rows, id, handling).await?;
        let Some(ticket) = tickets::find_newest(&self.rows, id).await? else {
            return match handling {
                Handling::Waiting(reason) => self.open_ticket(message, reason).await.map(drop),
                _ => Ok(()),
            };
        };
        tickets::reopen(&self.rows, &ticket.id).await?;
        if let Handling::Waiting(reason) = handling {
            self.backend
                .outbox
                .note(&self.rows, &Scene::from(self.conversation).person_requested(&ticket, reason))
                .await?;
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
            Reply::Answer(answer) => self.say_answer(answer).await,
            Reply::HandOver { reason, topics } => {
                let handling = Handling::Waiting(reason);
                conversations::set_handling(&self.rows, &self.conversation.row.id, handling).await?;
                let ticket = self.ticket_for(question, reason).await?;
                self.say_person_comes(Some(ticket.number), topics).await
            }
        }
    }

    /// The bot did not know an answer, and no person has come yet. It answers the questions that it can, and is silent to the rest.
    /// PROTOCOL.md, section 8.
    async fn answer_while_waiting(&self, reply: Reply) -> Result<(), StoreError> {
        match reply {
            Reply::Answer(answer) => self.say_answer(answer).await,
            Reply::HandOver { reason: WaitingReason::UserRequest, .. } => {
                // From here on the bot is silent, so the visitor is told once more that the request was heard.
                let handling = Handling::Waiting(WaitingReason::UserRequest);
                conversations::set_handling(&self.rows, &self.conversation.row.id, handling).await?;
                let ticket = tickets::find_newest(&self.rows, &self.conversation.row.id).await?;
                if let Some(ticket) = &ticket {
                    let scene = Scene::from(self.conversation);
                    self.backend
                        .outbox
                        .note(&self.rows, &scene.person_requested(ticket, WaitingReason::UserRequest))
                        .await?;
                }
                self.say_person_comes(ticket.map(|ticket| ticket.number), Vec::new()).await
            }
            Reply::Greet | Reply::HandOver { .. } => Ok(()),
        }
    }

    /// With `mode=human` the first message opens the ticket, and the wait begins with it: where nothing was said, nobody waits.
    async fn begin_to_wait(&self, message: &str) -> Result<(), StoreError> {
        let id = self.conversation.row.id.as_str();
        if tickets::find_newest(&self.rows, id).await?.is_some() {
            return Ok(());
        }
        waits::begin(&self.rows, id).await?;
        self.open_ticket(message, WaitingReason::HumanMode).await.map(drop)
    }

    /// A person takes the conversation over, and the tickets that waited for a person.
    async fn assign(&self) -> Result<(), StoreError> {
        conversations::set_handling(&self.rows, &self.conversation.row.id, Handling::Assigned).await?;
        let (rows, id) = (&self.rows, self.conversation.row.id.as_str());
        if let Some(ticket) = tickets::find_newest(rows, id).await? {
            tickets::reopen(rows, &ticket.id).await?;
        }
        for ticket in
            tickets::move_all(rows, id, TicketStatus::waits_for_a_person, TicketStatus::Assigned, None).await?
        {
            self.backend.outbox.note(&self.rows, &Scene::from(self.conversation).ticket_assigned(&ticket)).await?;
        }
        Ok(())
    }

    /// The ticket of a hand-over: the one that is open already, or a new one.
    async fn ticket_for(&self, message: &str, reason: WaitingReason) -> Result<TicketRef, StoreError> {
        let (rows, id) = (&self.rows, self.conversation.row.id.as_str());
        let is_open = |status: TicketStatus| !status.is_over();
        let again = tickets::move_all(rows, id, is_open, TicketStatus::Reopened, None).await?;
        let Some(ticket) = again.into_iter().next_back() else { return self.open_ticket(message, reason).await };
        self.backend.outbox.note(rows, &Scene::from(self.conversation).person_requested(&ticket, reason)).await?;
        Ok(ticket)
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
            self.backend.outbox.note(&self.rows, &event).await?;
        }
        Ok(ticket)
    }

    async fn say_answer(&self, answer: Answer) -> Result<(), StoreError> {
        let Answer { content, citations, confidence, topics } = answer;
        let plain = NewMessage::plain(Role::Bot, &content);
        self.say(NewMessage { citations, quick_replies: topics, confidence: Some(confidence), ..plain }).await
    }

    async fn say_person_comes(
        &self,
        ticket_number: Option<TicketNumber>,
        topics: Vec<String>,
    ) -> Result<(), StoreError> {
        let mut text = self.in_its_language("Une personne va vous répondre.", "A person will answer you.").to_owned();
        if let Some(number) = ticket_number {
            text.push_str(&format!(" {}{number}.", self.in_its_language("Votre ticket : ", "Your ticket: ")));
        }
        self.say(NewMessage { quick_replies: topics, ..NewMessage::plain(Role::System, &text) }).await
    }

    async fn say(&self, new: NewMessage<'_>) -> Result<(), StoreError> {
        let new = NewMessage { in_reply_to: self.question, ..new };
        messages::insert(&self.rows, &self.conversation.row.id, new).await.map(drop)
    }

    fn in_its_language(&self, french: &'static str, english: &'static str) -> &'static str {
        if self.conversation.row.locale.starts_with("fr") { french } else { english }
    }
}
