//! A visitor's conversation as it happens: the chat backend's end of the relay's WebSocket.
//!
//! The database holds the conversation. Whenever there is something new, a socket reads on from what it has sent. So no message is
//! lost or sent twice on one socket, however many writers and sockets there are.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde_json::{Map, Value, json};
use service::{
    ApiError, Failure,
    fields::Fields,
    websocket::{self, Socket},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message as WsMessage,
    protocol::{CloseFrame, Role, frame::coding::CloseCode},
};
use wire::{ErrorCode, SessionId, TenantId};

use super::{
    Backend,
    handling::{Handling, WaitingReason},
    notifier::{self, Listener},
    records::{self, NewConversation},
    store::{commit, one, unavailable},
    verify::Actor,
};

mod talk;

use talk::ConversationStream;

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
/// "routing_key":null|"…","mode":"bot|human","origin":null|"…","visitor_user_id"?}`. Where `visitor_user_id` is there, the tenant's
/// backend knows the visitor: the socket joins that visitor's newest active conversation, and where there is none, the first message
/// begins one (`welcome` then has `conversation_id: null`). Then what the visitor says, checked and written anew:
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
/// **Either side pings**; the relay leaves a backend that is silent for 62.5 s. A close code from 4000 to 4999 is passed on to the
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
        let mut socket = websocket::socket(upgraded, Role::Server, LARGEST_FRAME, None).await;
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
        // Look into the database: a process may have committed a message and died before it told the sockets.
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
    let visitor = Visitor::read(tenant_id, session, hello)?;
    let (mut talk, mut listener) = match visitor.conversation(backend).await? {
        Some(id) => {
            // Listened to before it is read: what comes in between is heard of.
            let listener = backend.notifier.listen(&id);
            (ConversationStream::welcome(socket, backend, tenant_id, session, id).await?, listener)
        }
        None => wait_for_conversation(socket, backend, &visitor).await?,
    };
    loop {
        match talk.next(socket, &mut listener).await? {
            Heard::Frame(frame) => talk.answer(socket, frame).await?,
            Heard::News => {}
        }
        talk.catch_up(socket).await?;
    }
}

/// Welcomes a known visitor who has no conversation yet: the first message begins one, or somebody else does.
async fn wait_for_conversation<'a>(
    socket: &mut Socket,
    backend: &'a Backend,
    visitor: &Visitor,
) -> Result<(ConversationStream<'a>, Listener), Ended> {
    let (tenant_id, session) = (visitor.tenant_id, visitor.session);
    let mut begun = backend.notifier.listen(&notifier::of_visitor(tenant_id, &visitor.user_id));
    let welcome = json!({
        "type": "welcome", "session_id": session.to_string(), "conversation_id": null, "status": visitor.handling().as_str(),
        "operator": null, "history": [], "read_up_to": null,
    });
    send(socket, &welcome).await?;
    // One may have begun since it was looked for, and before it was listened for.
    let mut heard = Heard::News;
    loop {
        let first = match heard {
            Heard::Frame(frame) => match frame.get("type").and_then(Value::as_str) {
                Some("message") => Some(frame),
                Some("read" | "resume") => {
                    let error = json!({
                        "type": "error", "error_code": ErrorCode::MessageNotFound.as_str(),
                        "message": "There is no conversation yet: the first message begins one.",
                    });
                    send(socket, &error).await?;
                    None
                }
                _ => None,
            },
            Heard::News => None,
        };
        let id = match &first {
            Some(_) => visitor.begin(backend).await?,
            None => match visitor.conversation(backend).await? {
                Some(id) => id,
                None => {
                    heard = tokio::select! {
                        heard = receive(socket) => heard?,
                        () = begun.changed() => Heard::News,
                    };
                    continue;
                }
            },
        };
        let listener = backend.notifier.listen(&id);
        let mut talk = ConversationStream::from_the_start(backend, tenant_id, id, visitor.handling());
        if let Some(frame) = first {
            talk.answer(socket, frame).await?;
        }
        talk.catch_up(socket).await?;
        return Ok((talk, listener));
    }
}

/// Who speaks on a socket, and what their conversation is begun with.
struct Visitor {
    tenant_id: TenantId,
    session: SessionId,
    /// The session, or the tenant's own name for a visitor it knows.
    user_id: String,
    /// Whether the tenant knows the visitor: then its conversation begins with the first message.
    is_known: bool,
    locale: String,
    mode: &'static str,
    metadata: Map<String, Value>,
}

impl Visitor {
    fn read(tenant_id: TenantId, session: SessionId, hello: Map<String, Value>) -> Result<Self, Ended> {
        let mut fields = Fields::new(hello);
        let _ = fields.choice("type", &["hello"], "hello");
        let locale = fields.optional_text("locale", 35).unwrap_or_else(|| "fr".to_owned());
        let mode = fields.choice("mode", &["bot", "human"], "bot");
        let known = fields.optional_text("visitor_user_id", 255);
        let mut metadata = fields.object("metadata", 16 * 1024);
        for field in ["origin", "bot_id", "routing_key"] {
            if let Some(text) = fields.optional_text(field, 320) {
                metadata.insert(field.to_owned(), text.into());
            }
        }
        fields.finish().map_err(|_| Ended::Relay("hello is not of its form"))?;
        let is_known = known.is_some();
        let user_id = known.unwrap_or_else(|| session.to_string());
        Ok(Self { tenant_id, session, user_id, is_known, locale, mode, metadata })
    }

    fn handling(&self) -> Handling {
        if self.mode == "human" { Handling::Waiting(WaitingReason::HumanMode) } else { Handling::Bot }
    }

    /// The id of the visitor's newest conversation that is not closed; a new one where there is none and one begins with the
    /// socket.
    async fn conversation(&self, backend: &Backend) -> Result<Option<String>, Ended> {
        if self.is_known { Ok(self.newest(backend.store.reader()).await?) } else { self.begin(backend).await.map(Some) }
    }

    async fn newest(&self, connection: &impl ConnectionTrait) -> Result<Option<String>, ApiError> {
        #[derive(FromQueryResult)]
        struct Found {
            id: String,
        }
        let sql = "SELECT id FROM conversation WHERE tenant_id = ? AND visitor_user_id = ? AND status = 'active'
                   ORDER BY id DESC LIMIT 1";
        let values = [self.tenant_id.to_string().into(), self.user_id.clone().into()];
        let found: Option<Found> = one(connection, sql, values).await.map_err(unavailable)?;
        Ok(found.map(|found| found.id))
    }

    /// The same, begun where there is none.
    async fn begin(&self, backend: &Backend) -> Result<String, Ended> {
        let transaction = backend.store.begin().await.map_err(unavailable)?;
        if let Some(id) = self.newest(&transaction).await? {
            transaction.rollback().await.map_err(unavailable)?;
            return Ok(id);
        }
        let new = NewConversation {
            visitor_user_id: self.user_id.clone(),
            visitor_display_name: None,
            visitor_email: None,
            visitor_phone: None,
            locale: self.locale.clone(),
            channel: "text",
            handling: self.handling(),
            metadata: self.metadata.clone(),
        };
        let id = records::insert_conversation(&transaction, self.tenant_id, new).await.map_err(unavailable)?;
        commit(transaction).await?;
        backend.notifier.changed(&notifier::of_visitor(self.tenant_id, &self.user_id));
        Ok(id)
    }
}

/// What woke a socket.
enum Heard {
    Frame(Map<String, Value>),
    News,
}
