//! The visitor of a socket: read from `hello`, found in the database, or begun there.

use serde_json::{Map, Value};
use service::ApiError;
use wire::fields::Fields;
use wire::{
    ErrorCode, SessionId, TenantId,
    frames::{
        Mode,
        limits::{
            CONVERSATION_METADATA_BYTES, EMAIL_CHARS, HELLO_TEXT_CHARS, LOCALE_CHARS, VISITOR_NAME_CHARS,
            VISITOR_USER_ID_CHARS,
        },
    },
};

use super::{
    identity::{self, Details},
    relay::Ended,
};
use crate::{
    channel::Channel,
    events::Scene,
    handling::{Handling, WaitingReason},
    records::{
        choices,
        conversations::{self, NewConversation},
    },
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, Transaction, unavailable},
};

/// The visitor of a socket, and what its conversation begins with.
pub(super) struct Visitor {
    pub(super) tenant_id: TenantId,
    pub(super) session: SessionId,
    /// The session, or the tenant's own name for a visitor it knows.
    pub(super) user_id: String,
    /// Whether the tenant knows the visitor: then its conversation begins with the first message.
    is_known: bool,
    /// What the page says of a visitor whom the tenant knows.
    details: Details,
    /// The visitor's session from before the tenant told who the visitor is.
    continues: Option<SessionId>,
    locale: String,
    mode: Mode,
    metadata: Map<String, Value>,
}

impl Visitor {
    /// Reads `hello`.
    pub(super) fn read(tenant_id: TenantId, session: SessionId, hello: Map<String, Value>) -> Result<Self, Ended> {
        let mut fields = Fields::new(hello);
        let _ = fields.choice("type", &["hello"], "hello");
        let locale = fields.optional_text("locale", LOCALE_CHARS).unwrap_or_else(|| "fr".to_owned());
        let mode = fields.choice("mode", Mode::TEXTS, Mode::Bot.as_str());
        let known = fields.optional_text("visitor_user_id", VISITOR_USER_ID_CHARS);
        let details = Details {
            name: fields.optional_text("visitor_display_name", VISITOR_NAME_CHARS),
            email: fields.optional_text("visitor_email", EMAIL_CHARS),
        };
        let continues = fields.optional_text("continues", HELLO_TEXT_CHARS).map(|id| id.parse());
        let mut metadata = fields.object("metadata", CONVERSATION_METADATA_BYTES);
        for field in ["origin", "bot_id", "routing_key"] {
            if let Some(text) = fields.optional_text(field, HELLO_TEXT_CHARS) {
                metadata.insert(field.to_owned(), text.into());
            }
        }
        fields.finish().map_err(|_| Ended::Relay("hello is not of its form"))?;
        let continues = continues.transpose().map_err(|_| Ended::Relay("hello is not of its form"))?;
        let mode = Mode::from_wire(mode).unwrap_or(Mode::Bot);
        let is_known = known.is_some();
        let user_id = known.unwrap_or_else(|| session.to_string());
        Ok(Self { tenant_id, session, user_id, is_known, details, continues, locale, mode, metadata })
    }

    /// Who answers first.
    pub(super) fn handling(&self) -> Handling {
        match self.mode {
            Mode::Bot => Handling::Bot,
            Mode::Human => Handling::Waiting(WaitingReason::HumanMode),
        }
    }

    /// The queue that its conversations begin in.
    pub(super) fn routing_key(&self) -> Option<&str> {
        self.metadata.get("routing_key").and_then(Value::as_str)
    }

    /// The id of the conversation that the visitor is in. If there is none, the socket of a visitor whom the tenant does not know begins one,
    /// and a known visitor's first message will.
    pub(super) async fn conversation(&self, backend: &Backend) -> Result<Option<String>, Ended> {
        if !self.is_known {
            return self.begin(backend).await.map(Some);
        }
        self.take_over(backend).await?;
        let rows = backend.store.of(self.tenant_id);
        let found = choices::current(&rows, &self.user_id).await.map_err(unavailable)?;
        if let Some(id) = &found {
            identity::note_details(backend, self.tenant_id, id, self.details.of(&self.user_id)).await?;
        }
        Ok(found)
    }

    /// The id of the conversation that the visitor is in; of a new one, if there is none.
    pub(super) async fn begin(&self, backend: &Backend) -> Result<String, Ended> {
        self.take_over(backend).await?;
        let transaction = backend.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, self.tenant_id);
        // Two sockets of one visitor, on two replicas, must not begin a conversation each.
        conversations::take_visitors_turn(&rows, &self.user_id).await.map_err(unavailable)?;
        if let Some(id) = choices::current(&rows, &self.user_id).await.map_err(unavailable)? {
            transaction.rollback().await.map_err(unavailable)?;
            return Ok(id);
        }
        let id = self.insert(backend, &rows).await?;
        let told = ReplicaMessage::Began { tenant_id: self.tenant_id, visitor_user_id: self.user_id.clone() };
        backend.commit(transaction, told).await?;
        Ok(id)
    }

    /// Turns to another conversation of the visitor's, with all sockets, or to a new one. Where the visitor has said nothing yet, the
    /// conversation that the visitor is in is as good as a new one. So a frame that is sent again right away begins no second one.
    ///
    /// # Errors
    /// `conversation_not_found`, also for one that is closed; the store's.
    pub(super) async fn turn_to(&self, backend: &Backend, conversation_id: Option<String>) -> Result<(), ApiError> {
        let transaction = backend.store.begin().await.map_err(unavailable)?;
        let rows = OfTenant::new(&transaction, self.tenant_id);
        conversations::take_visitors_turn(&rows, &self.user_id).await.map_err(unavailable)?;
        let id = match conversation_id {
            Some(id) => {
                let row = conversations::find(&rows, &id).await?.row;
                if row.visitor_user_id != self.user_id || row.status != "active" {
                    return Err(conversations::not_found());
                }
                id
            }
            None => match choices::current(&rows, &self.user_id).await.map_err(unavailable)? {
                Some(id) if !choices::has_spoken(&rows, &id).await.map_err(unavailable)? => id,
                _ => self.insert(backend, &rows).await?,
            },
        };
        let mut left = choices::turn_to(&rows, &self.user_id, &id).await.map_err(unavailable)?.into_iter();
        let (tenant_id, visitor_user_id) = (self.tenant_id, self.user_id.clone());
        let began = ReplicaMessage::Began { tenant_id, visitor_user_id };
        // The visitor's other sockets are in the conversation that was left, or in none.
        let told = left.next().map(|conversation_id| ReplicaMessage::Changed { tenant_id, conversation_id });
        backend.commit(transaction, told.unwrap_or_else(|| began.clone())).await?;
        backend.tell(&began);
        for conversation_id in left {
            backend.tell(&ReplicaMessage::Changed { tenant_id, conversation_id });
        }
        Ok(())
    }

    /// Where a message is said that was written in the conversation `named`: there, if that is the visitor's and not closed; else `here`.
    pub(super) async fn place_of(
        &self,
        backend: &Backend,
        named: Option<String>,
        here: &str,
    ) -> Result<String, ApiError> {
        let Some(named) = named.filter(|named| named != here) else { return Ok(here.to_owned()) };
        match conversations::find(&backend.store.of(self.tenant_id), &named).await {
            Ok(found) if found.row.visitor_user_id == self.user_id && found.row.status == "active" => Ok(named),
            Err(error) if error.code() != ErrorCode::ConversationNotFound => Err(error),
            Ok(_) | Err(_) => Ok(here.to_owned()),
        }
    }

    /// Begins a conversation.
    async fn insert(&self, backend: &Backend, rows: &OfTenant<'_, Transaction>) -> Result<String, ApiError> {
        let (name, email) = self.details.of(&self.user_id);
        let new = NewConversation {
            visitor_user_id: self.user_id.clone(),
            visitor_display_name: name.map(str::to_owned),
            visitor_email: email.map(str::to_owned),
            visitor_phone: None,
            locale: self.locale.clone(),
            channel: Channel::Text,
            handling: self.handling(),
            mode: self.mode,
            metadata: self.metadata.clone(),
        };
        let id = conversations::insert(rows, new).await.map_err(unavailable)?;
        let scene = Scene { conversation_id: &id, visitor_user_id: &self.user_id };
        backend.outbox.note(rows, &scene.conversation_started()).await.map_err(unavailable)?;
        Ok(id)
    }

    /// Takes over what the visitor said before the tenant told who the visitor is.
    async fn take_over(&self, backend: &Backend) -> Result<(), Ended> {
        match self.continues {
            Some(before) => identity::take_over(backend, self.tenant_id, (before, &self.user_id)).await,
            None => Ok(()),
        }
    }
}
