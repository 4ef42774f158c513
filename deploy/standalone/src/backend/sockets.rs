//! A visitor's conversation as it happens: the chat backend's end of the relay's WebSocket.
//!
//! The database is the conversation; a socket reads on from what it has sent whenever there is something new. So nothing is
//! lost or sent twice on one socket, whoever wrote it and however many sockets a visitor has.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use sea_orm::FromQueryResult;
use serde_json::{Map, Value, json};
use shared::{
    ApiError, ErrorCode, Failure, SessionId, TenantId,
    fields::Fields,
    websocket::{self, Socket},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message as WsMessage,
    protocol::{CloseFrame, Role, frame::coding::CloseCode},
};

use super::{
    Backend,
    dto::{MESSAGE, Message, MessageRow},
    live::Listener,
    messages::{self, Said},
    records::{self, NewConversation},
    store::{all, execute, one, unavailable},
    verify::Actor,
};

/// Messages in `welcome`, at most, and those read at once afterwards.
const HISTORY: u64 = 50;

/// Bytes of messages in `welcome`, well below what the relay takes in one frame: a page of the longest is more.
const LARGEST_HISTORY: usize = 256 * 1024;

/// How long the relay may take to say whose conversation it is, and either side to take a frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// The relay pings; one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(180);

/// Above what the relay lets through.
const LARGEST_FRAME: usize = 256 * 1024;

/// A visitor's conversation, as it happens. The relay opens one WebSocket for each of a visitor's, as the actor
/// `visitor:<session>`, with an empty body under HMAC#2; frames are JSON text, and are not signed again.
///
/// **The relay says**, first, whose conversation it is: `{"type":"hello","session_id","bot_id","locale","metadata":{},
/// "routing_key":null|"…","mode":"bot|human","origin"}`. Then what the visitor says, checked and written anew:
/// `{"type":"message","client_id":"<uuid>","content":"…","attachments":[]}`, `{"type":"typing"}`,
/// `{"type":"read","message_id"}` and `{"type":"resume","after":"<message_id>"}`.
///
/// **The backend answers** `hello` with `{"type":"welcome","session_id","conversation_id","status":"bot|waiting|assigned|resolved",
/// "operator":null|{"display_name","avatar_url"},"history":[message…],"read_up_to":null|"<message_id>"}`, the newest 50, oldest
/// first, fewer where they are long. Each `message` with `{"type":"ack","client_id","message_id","created_at"}` once it is kept: the same `client_id` again
/// is the same message. Whatever else is said in the conversation is `{"type":"message","message":{"id","role","content",
/// "citations":[],"attachments":[],"client_id"?,"created_at"}}`, in the order of its ids, each once; a socket's own messages come as `ack`
/// alone, in their place among the others. `resume` is answered with all messages after the named one up to those that were new
/// since `welcome`, as if they were new too; what is in `history` is among them. Beside these there are
/// `{"type":"typing","role"}`, `{"type":"status","status","operator"}` and `{"type":"error","error_code","message","client_id"?,
/// "retry_after_seconds"?}`. The relay passes on every text frame unread, up to 1 MiB.
///
/// **Either side pings**; the relay leaves a backend that is silent for 75 s. A close code from 4000 to 4999 is passed on to the
/// browser; any other way to end reads there as 1013, and the browser comes back.
#[utoipa::path(
    get, path = "/ws/visitor", tag = "sockets",
    responses(
        (status = 101, description = "The connection is a WebSocket"),
        (status = 401, description = "`invalid_relay_signature`", body = Failure),
        (status = 422, description = "`validation_failed`: the actor is no visitor", body = Failure),
        (status = 426, description = "`upgrade_required`", body = Failure),
    )
)]
pub(super) async fn visitor_socket(State(backend): State<Backend>, mut request: Request) -> Response {
    let (tenant_id, session) = match visitor(&request) {
        Ok(visitor) => visitor,
        Err(error) => return error.into_response(),
    };
    let (upgrading, response) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    let tasks = backend.sockets.clone();
    tasks.spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let config = websocket::config(LARGEST_FRAME);
        let mut socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let stopping = backend.stopping.clone();
        let ended = tokio::select! {
            () = stopping.cancelled() => Ended::Stopping,
            ended = converse(&mut socket, &backend, tenant_id, session) => ended.err().unwrap_or(Ended::Left),
        };
        if let Some((code, reason)) = ended.close() {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            let _ = timeout(Duration::from_secs(1), socket.close(Some(frame))).await;
        }
    });
    response
}

fn visitor(request: &Request) -> Result<(TenantId, SessionId), ApiError> {
    let tenant_id = request.extensions().get::<TenantId>().copied();
    let actor = request.extensions().get::<Actor>();
    let (Some(tenant_id), Some(Actor(actor))) = (tenant_id, actor) else {
        return Err(ApiError::internal("a signed route without its signature check"));
    };
    let session = actor.strip_prefix("visitor:").and_then(|session| session.parse().ok());
    session
        .map(|session| (tenant_id, session))
        .ok_or_else(|| ApiError::field("X-Relay-Actor", "must be visitor:<session> here"))
}

/// Why a conversation is not listened to any more.
enum Ended {
    /// The relay has left.
    Left,
    Stopping,
    /// What the relay said makes no sense, or it takes nothing.
    Relay(&'static str),
    /// The database.
    Store,
}

impl Ended {
    fn close(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::Left => None,
            Self::Stopping => Some((1012, "the chat backend restarts")),
            Self::Relay(why) => Some((1002, why)),
            Self::Store => Some((1011, "the chat backend's database does not answer")),
        }
    }
}

impl From<ApiError> for Ended {
    fn from(error: ApiError) -> Self {
        tracing::error!(error_code = error.code().as_str(), cause = error.cause(), "a visitor's socket failed");
        Self::Store
    }
}

async fn send(socket: &mut Socket, frame: &Value) -> Result<(), Ended> {
    match timeout(PATIENCE, socket.send(WsMessage::text(frame.to_string()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Relay("frames are not read")),
    }
}

/// The next frame: text that is a JSON object; or a ping.
async fn receive(socket: &mut Socket) -> Result<Heard, Ended> {
    let message = timeout(SILENCE, socket.next()).await.map_err(|_| Ended::Left)?;
    match message.ok_or(Ended::Left)?.map_err(|_| Ended::Left)? {
        WsMessage::Text(text) => {
            serde_json::from_str(&text).map(Heard::Frame).map_err(|_| Ended::Relay("frames are JSON objects"))
        }
        WsMessage::Close(_) => Err(Ended::Left),
        WsMessage::Binary(_) => Err(Ended::Relay("frames are text")),
        // As good a time as any to look: whoever commits and dies before it says so has told nobody.
        WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_) => Ok(Heard::News),
    }
}

async fn converse(
    socket: &mut Socket,
    backend: &Backend,
    tenant_id: TenantId,
    session: SessionId,
) -> Result<(), Ended> {
    let hello = async {
        loop {
            if let Heard::Frame(hello) = receive(socket).await? {
                return Ok::<_, Ended>(hello);
            }
        }
    };
    let hello = timeout(PATIENCE, hello).await.map_err(|_| Ended::Relay("nobody said hello"))??;
    let conversation_id = begin_or_go_on(backend, tenant_id, session, hello).await?;
    // Listened to before it is read: what comes in between is heard of.
    let mut listener = backend.live.listen(&conversation_id);
    let mut talk = Talk::welcome(socket, backend, tenant_id, session, conversation_id).await?;
    loop {
        match talk.next(socket, &mut listener).await? {
            Heard::Frame(frame) => talk.answer(socket, frame).await?,
            Heard::News => {}
        }
        talk.catch_up(socket).await?;
    }
}

/// The id of the session's conversation: the one that is not closed, or a new one.
async fn begin_or_go_on(
    backend: &Backend,
    tenant_id: TenantId,
    session: SessionId,
    hello: Map<String, Value>,
) -> Result<String, Ended> {
    #[derive(FromQueryResult)]
    struct Found {
        id: String,
    }
    let mut fields = Fields::new(hello);
    let _ = fields.choice("type", &["hello"], "hello");
    let locale = fields.optional_text("locale", 35).unwrap_or_else(|| "fr".to_owned());
    let mode = fields.choice("mode", &["bot", "human"], "bot");
    let mut metadata = fields.object("metadata", 16 * 1024);
    for field in ["origin", "bot_id", "routing_key"] {
        if let Some(text) = fields.optional_text(field, 320) {
            metadata.insert(field.to_owned(), text.into());
        }
    }
    fields.finish().map_err(|_| Ended::Relay("hello is not of its form"))?;

    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let sql = "SELECT id FROM conversation WHERE tenant_id = ? AND visitor_user_id = ? AND status = 'active'
               ORDER BY id DESC LIMIT 1";
    let found: Option<Found> = one(&transaction, sql, [tenant_id.to_string().into(), session.to_string().into()])
        .await
        .map_err(unavailable)?;
    let id = match found {
        Some(found) => found.id,
        None => {
            let new = NewConversation {
                visitor_user_id: session.to_string(),
                visitor_display_name: None,
                visitor_email: None,
                visitor_phone: None,
                locale,
                channel: "text",
                handling: if mode == "human" { "waiting" } else { "bot" },
                metadata,
            };
            records::insert_conversation(&transaction, tenant_id, new).await.map_err(unavailable)?
        }
    };
    transaction.commit().await.map_err(unavailable)?;
    Ok(id)
}

/// What woke a socket.
enum Heard {
    Frame(Map<String, Value>),
    News,
}

/// One socket's place in a conversation.
struct Talk<'a> {
    backend: &'a Backend,
    tenant_id: TenantId,
    conversation_id: String,
    /// Who answers, as it was last said.
    handling: String,
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

impl<'a> Talk<'a> {
    async fn welcome(
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
            "status": conversation.handling,
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

    async fn next(&self, socket: &mut Socket, listener: &mut Listener) -> Result<Heard, Ended> {
        tokio::select! {
            heard = receive(socket) => heard,
            () = listener.changed() => Ok(Heard::News),
        }
    }

    async fn answer(&mut self, socket: &mut Socket, frame: Map<String, Value>) -> Result<(), Ended> {
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
                let content = fields.text("content", 8_000);
                let attachments = fields.objects("attachments", 20, 64 * 1024);
                fields.finish()?;
                if self.handling == "bot" {
                    send(socket, &json!({"type": "typing", "role": "bot"})).await?;
                }
                let said = Said { role: "visitor", content: &content, attachments, client_id };
                let message = messages::say(self.backend, self.tenant_id, &self.conversation_id, said).await?;
                let client_id = client_id.unwrap_or_default();
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
    async fn catch_up(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let reader = self.backend.store.reader();
        let conversation = records::find_conversation(reader, self.tenant_id, &self.conversation_id).await?;
        let is_new = conversation.handling != self.handling;
        self.handling = conversation.handling;
        let status = json!({"type": "status", "status": self.handling, "operator": null});
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
