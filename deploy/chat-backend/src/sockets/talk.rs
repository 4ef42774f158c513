//! One socket's place in a conversation: what was sent on it, and what is to be sent next.

use sea_orm::FromQueryResult;
use serde_json::{Map, Value, json};
use service::{ApiError, fields::Fields, websocket::Socket};
use wire::{
    ErrorCode, SessionId, TenantId,
    frames::limits::{MESSAGE_ATTACHMENTS, MESSAGE_CHARS},
};

use super::{Ended, Heard, receive, send};
use crate::{
    Backend,
    dto::{MESSAGE, Message, MessageRow},
    handling::Handling,
    messages::{self, Said},
    notifier::Listener,
    records,
    store::{all, execute, one, unavailable},
};

/// Messages in `welcome`, at most, and those read at once afterwards.
const HISTORY: u64 = 50;

/// Bytes of messages in `welcome`, well below what the relay takes in one frame: a page of the longest is more.
const LARGEST_HISTORY: usize = 256 * 1024;

/// One socket's place in a conversation.
pub(super) struct ConversationStream<'a> {
    backend: &'a Backend,
    tenant_id: TenantId,
    conversation_id: String,
    /// Who answers, as it was last said.
    handling: Handling,
    /// The newest message that was in `welcome`.
    welcomed: String,
    /// The newest message that was sent, or acknowledged.
    sent: String,
    /// Said on this socket, and not acknowledged yet: the message's id and the client's.
    own: Vec<(String, String)>,
    /// Everything after this message was sent again.
    resumed: Option<String>,
}

/// The newest of these that are at most so many bytes together, and one at least.
fn newest_within(mut messages: Vec<Value>, most: usize) -> Vec<Value> {
    let mut bytes = 0;
    let fitting = messages.iter().rev().take_while(|message| {
        bytes += message.to_string().len();
        bytes <= most
    });
    let kept = fitting.count().max(1).min(messages.len());
    messages.split_off(messages.len() - kept)
}

fn ack_frame(message: &Message, client_id: &str) -> Value {
    json!({"type": "ack", "client_id": client_id, "message_id": message.id, "created_at": message.created_at})
}

fn message_frame(message: &Message) -> Value {
    json!({"type": "message", "message": message})
}

impl<'a> ConversationStream<'a> {
    /// A place before everything that is said: its visitor was welcomed without a conversation.
    pub(super) fn from_the_start(
        backend: &'a Backend,
        tenant_id: TenantId,
        conversation_id: String,
        handling: Handling,
    ) -> Self {
        Self {
            backend,
            tenant_id,
            conversation_id,
            handling,
            welcomed: String::new(),
            sent: String::new(),
            own: Vec::new(),
            resumed: None,
        }
    }

    pub(super) async fn welcome(
        socket: &mut Socket,
        backend: &'a Backend,
        tenant_id: TenantId,
        session: SessionId,
        conversation_id: String,
    ) -> Result<Self, Ended> {
        #[derive(FromQueryResult)]
        struct Read {
            read_up_to: Option<String>,
        }
        let sql = format!(
            "SELECT * FROM (SELECT {MESSAGE} FROM message WHERE conversation_id = ? ORDER BY id DESC LIMIT ?) ORDER BY id"
        );
        let reader = backend.store.reader();
        let conversation = records::find_conversation(reader, tenant_id, &conversation_id).await?;
        let rows: Vec<MessageRow> =
            all(reader, &sql, [conversation.id.clone().into(), HISTORY.into()]).await.map_err(unavailable)?;
        let history = newest_within(rows.into_iter().map(|row| json!(Message::from(row))).collect(), LARGEST_HISTORY);
        let sql = "SELECT read_up_to FROM conversation WHERE id = ?";
        let read: Option<Read> = one(reader, sql, [conversation.id.clone().into()]).await.map_err(unavailable)?;
        let newest = history.last().and_then(|message| message["id"].as_str()).unwrap_or_default().to_owned();
        let welcome = json!({
            "type": "welcome",
            "session_id": session.to_string(),
            "conversation_id": conversation.id,
            "status": conversation.handling.as_str(),
            "operator": null,
            "history": history,
            "read_up_to": read.and_then(|read| read.read_up_to),
        });
        send(socket, &welcome).await?;
        Ok(Self {
            backend,
            tenant_id,
            conversation_id: conversation.id,
            handling: conversation.handling,
            welcomed: newest.clone(),
            sent: newest,
            own: Vec::new(),
            resumed: None,
        })
    }

    pub(super) async fn next(&self, socket: &mut Socket, listener: &mut Listener) -> Result<Heard, Ended> {
        tokio::select! {
            heard = receive(socket) => heard,
            () = listener.changed() => Ok(Heard::News),
        }
    }

    pub(super) async fn answer(&mut self, socket: &mut Socket, frame: Map<String, Value>) -> Result<(), Ended> {
        let client_id = frame.get("client_id").and_then(Value::as_str).map(str::to_owned);
        match self.act(socket, frame, client_id.as_deref()).await {
            Ok(()) => Ok(()),
            Err(Failed::Ended(ended)) => Err(ended),
            Err(Failed::Refused(error)) => {
                let mut told = json!({
                    "type": "error", "error_code": error.code().as_str(), "message": error.message(),
                });
                if let Some(client_id) = client_id {
                    told["client_id"] = client_id.into();
                }
                if let Some(seconds) = error.retry_after() {
                    told["retry_after_seconds"] = seconds.into();
                }
                send(socket, &told).await
            }
        }
    }

    async fn act(
        &mut self,
        socket: &mut Socket,
        frame: Map<String, Value>,
        client_id: Option<&str>,
    ) -> Result<(), Failed> {
        let mut fields = Fields::new(frame);
        match fields.choice("type", &["message", "typing", "read", "resume"], "") {
            "message" => {
                let content = fields.text("content", MESSAGE_CHARS);
                let attachments = fields.attachments("attachments", MESSAGE_ATTACHMENTS);
                fields.finish()?;
                // The relay lets none through without: who resends must be known by something.
                let Some(client_id) = client_id else {
                    return Err(ApiError::field("client_id", "is required: the same one when it is sent again").into());
                };
                if self.handling == Handling::Bot {
                    send(socket, &json!({"type": "typing", "role": "bot"})).await?;
                }
                let said = Said { role: "visitor", content: &content, attachments, client_id: Some(client_id) };
                let message = messages::say(self.backend, self.tenant_id, &self.conversation_id, said).await?;
                if message.id > self.sent {
                    // In its place among what others have said: who resumes from here has missed nothing before it.
                    self.own.push((message.id, client_id.to_owned()));
                    Ok(())
                } else {
                    Ok(send(socket, &ack_frame(&message, client_id)).await?)
                }
            }
            "read" => {
                let message_id = fields.text("message_id", 64);
                fields.finish()?;
                self.expect_message(&message_id).await?;
                let sql = "UPDATE conversation SET read_up_to = ? WHERE id = ? AND coalesce(read_up_to, '') < ?";
                let values = [message_id.clone().into(), self.conversation_id.clone().into(), message_id.into()];
                execute(self.backend.store.reader(), sql, values).await.map_err(unavailable)?;
                Ok(())
            }
            "resume" => {
                let after = fields.text("after", 64);
                fields.finish()?;
                self.expect_message(&after).await?;
                self.resume(socket, after).await?;
                Ok(())
            }
            // There is nobody here yet who would be shown it.
            "typing" => Ok(()),
            _ => Err(ApiError::field("type", "must be one of message, typing, read, resume").into()),
        }
    }

    async fn expect_message(&self, id: &str) -> Result<(), ApiError> {
        #[derive(FromQueryResult)]
        struct Found {
            #[expect(dead_code, reason = "that there is one is all that is asked")]
            id: String,
        }
        let sql = "SELECT id FROM message WHERE conversation_id = ? AND id = ?";
        let values = [self.conversation_id.clone().into(), id.to_owned().into()];
        let found: Option<Found> = one(self.backend.store.reader(), sql, values).await.map_err(unavailable)?;
        found.map(drop).ok_or_else(|| {
            ApiError::new(ErrorCode::MessageNotFound, "This conversation has no such message: see its history.")
        })
    }

    /// Sends what came after a message, up to what was there at the welcome: what is newer was sent, or is about to be.
    async fn resume(&mut self, socket: &mut Socket, after: String) -> Result<(), Ended> {
        let up_to = self.resumed.clone().unwrap_or_else(|| self.welcomed.clone());
        let mut from = after.clone();
        while from < up_to {
            let messages = self.read(&from, Some(&up_to)).await?;
            let Some(newest) = messages.last() else { break };
            from.clone_from(&newest.id);
            for message in &messages {
                send(socket, &message_frame(message)).await?;
            }
        }
        if after < up_to {
            self.resumed = Some(after);
        }
        Ok(())
    }

    /// Sends what is new, in order, and who answers, where that is new: before what they say.
    pub(super) async fn catch_up(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let reader = self.backend.store.reader();
        let conversation = records::find_conversation(reader, self.tenant_id, &self.conversation_id).await?;
        // The status frame does not say why a person is awaited, so a change of the reason alone sends none.
        let is_new = conversation.handling.as_str() != self.handling.as_str();
        self.handling = conversation.handling;
        let status = json!({"type": "status", "status": self.handling.as_str(), "operator": null});
        let mut status = is_new.then_some(status);
        loop {
            let messages = self.read(&self.sent, None).await?;
            let Some(newest) = messages.last() else { break };
            let newest = newest.id.clone();
            for message in &messages {
                let own =
                    self.own.iter().position(|(id, _)| *id == message.id).map(|place| self.own.swap_remove(place));
                let frame = match own {
                    Some((_, client_id)) => ack_frame(message, &client_id),
                    None => message_frame(message),
                };
                if message.role != "visitor"
                    && let Some(status) = status.take()
                {
                    send(socket, &status).await?;
                }
                send(socket, &frame).await?;
            }
            self.sent = newest;
        }
        match status {
            Some(status) => send(socket, &status).await,
            None => Ok(()),
        }
    }

    async fn read(&self, after: &str, up_to: Option<&str>) -> Result<Vec<Message>, Ended> {
        let sql = format!(
            "SELECT {MESSAGE} FROM message WHERE conversation_id = ? AND id > ? AND (? IS NULL OR id <= ?)
             ORDER BY id LIMIT ?"
        );
        let values = [
            self.conversation_id.clone().into(),
            after.to_owned().into(),
            up_to.map(str::to_owned).into(),
            up_to.map(str::to_owned).into(),
            HISTORY.into(),
        ];
        let rows: Vec<MessageRow> = all(self.backend.store.reader(), &sql, values).await.map_err(unavailable)?;
        Ok(rows.into_iter().map(Message::from).collect())
    }
}

/// Why a frame was not acted on.
enum Failed {
    /// The visitor is told.
    Refused(ApiError),
    Ended(Ended),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<Ended> for Failed {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}
