//! A visitor's conversation, and an operator's inbox, as they happen: the chat backend's ends of the relay's `WebSockets`.
//!
//! The database holds the conversation. Whenever there is something new, a socket reads on from what it has sent. So no message is
//! lost or sent twice on one socket, however many writers and sockets there are.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use service::{
    ApiError, Failure,
    websocket::{self, Socket},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use tracing::Instrument as _;
use wire::{
    SessionId, TenantId,
    frames::{self, ServerFrame, limits::BACKEND_READS_BYTES},
};

use super::{notifier::Listener, state::Backend, verify::Actor};

mod history;
mod identity;
mod operator;
mod relay;
mod stream;
mod traces;
mod visitor;
mod waiting;

use relay::{Ended, Heard, hello};
use stream::{ConversationStream, Turn};
use visitor::Visitor;

/// A visitor's conversation, as it happens. The relay opens one WebSocket for each of a visitor's, as the actor
/// `visitor:<session>`, with an empty body under HMAC#2; frames are JSON text, and are not signed again.
///
/// **The relay says**, first, whose conversation it is: `{"type":"hello","session_id","bot_id","locale","metadata":{},
/// "routing_key":null|"…","mode":"bot|human","origin":null|"…","visitor_user_id"?,"visitor_display_name"?,"visitor_email"?,"continues"?}`. Where `visitor_user_id` is there, the tenant's
/// backend knows the visitor: the socket joins that visitor's newest active conversation from which the visitor has not turned away, and where
/// there is none, the first message begins one (`welcome` then has `conversation_id: null`). `continues` names the visitor's session from before the tenant told who the
/// visitor is: a conversation in which the visitor said something there is this visitor's from now on. Then what the visitor says, checked and written anew:
/// `{"type":"message","client_id":"<uuid>","content":"…","attachments":[],"conversation_id"?}`, `{"type":"typing"}`,
/// `{"type":"read","message_id"}`, `{"type":"resume","after":"<message_id>"}`, `{"type":"rate","client_id","score","comment"}`,
/// `{"type":"leave_email","client_id","email"}`, `{"type":"feedback","client_id","message_id","feedback"}`, `{"type":"conversations"}` and
/// `{"type":"open_conversation","client_id","conversation_id":null|"…"}`. A message whose trace is recorded also has
/// `"traceparent":"…"` (W3C Trace Context).
///
/// **The backend answers** `hello` with `{"type":"welcome","session_id","conversation_id","status":"bot|waiting|assigned|resolved",
/// "operator":null|{"display_name","avatar_url"},"history":[message…],"read_up_to":null|"<message_id>","may_rate","rating","may_leave_email",
/// "email","expected_wait_s"?,"may_open"}`, the newest 50, oldest
/// first, fewer where they are long. Another `welcome` follows whenever the visitor turns to another conversation. Each `message` with `{"type":"ack","client_id","message_id","conversation_id","created_at"}` once it is kept: the same `client_id` again
/// is the same message. Whatever else is said in the conversation is `{"type":"message","message":{"id","role","content",
/// "citations":[],"attachments":[],"client_id"?,"feedback"?,"quick_replies"?,"created_at"}}`, in the order of its ids, each once; a socket's own messages come as `ack`
/// alone, in their place among the others. `resume` is answered with all messages after the named one up to those that were new
/// since `welcome`, as if they were new too; what is in `history` is among them. Beside these there are
/// `{"type":"typing","role"}`, `{"type":"status","status","operator","expected_wait_s"?}`, `{"type":"rating","rating"}`, `{"type":"email","email"}`,
/// `{"type":"feedback","message_id","feedback"}`, `{"type":"conversations","conversations":[…]}` and `{"type":"error","error_code","message","client_id"?,
/// "retry_after_seconds"?}`. The relay passes on every text frame unread, up to 1 MiB.
///
/// **Either side pings**; the relay leaves a backend that is silent for 62.5 s. A close code from 4000 to 4999 is passed on to the
/// browser; any other way to end reads there as 1013, and the browser comes back.
#[utoipa::path(
    get, path = "/ws/visitor", tag = "sockets",
    responses(
        (status = 101, description = "The connection is a WebSocket"),
        (status = 422, description = "`validation_failed`: the actor is no visitor", body = Failure),
        (status = 426, description = "`upgrade_required`", body = Failure),
    )
)]
pub(crate) async fn visitor_socket(State(backend): State<Backend>, request: Request) -> Response {
    serve(backend, request, |actor| {
        let session = actor.strip_prefix("visitor:").and_then(|session| session.parse().ok());
        session.map(Speaker::Visitor).ok_or("must be visitor:<session> here")
    })
}

/// An operator's inbox, as it happens. The relay opens one WebSocket for each of an operator's, as the actor `operator:<id>`, with an
/// empty body under HMAC#2; frames are JSON text, and are not signed again.
///
/// **The relay says**, first, who it is: `{"type":"hello","operator_id","display_name","avatar_url":null|"…","routing_keys":[]}`. Then what
/// the operator says, checked and written anew: `{"type":"watch","conversation_id":null|"…"}`, `{"type":"typing","conversation_id"}`,
/// `{"type":"read","conversation_id","message_id"}`, `{"type":"message","client_id":"<uuid>","conversation_id","content","attachments":[]}`,
/// and `claim`, `release`, `hand_back`, `resolve`, `reopen` with `client_id` and `conversation_id`.
///
/// **The backend answers** `hello` with `{"type":"welcome","operator","routing_keys","counts"}`. A change of a conversation that the operator
/// may see is `{"type":"conversation","conversation","last_message"}`, with the fields of `fetch/conversations`, and `counts` follow within
/// a second. `watch` is answered with `{"type":"watching","conversation_id","last_entry_id"}`: what is written after that id comes as
/// `{"type":"message","conversation_id","message"}`, notes too, in the order of ids. `{"type":"typing","conversation_id","role","operator"}` is told to
/// those who watch, `{"type":"presence","conversation_id","operators":[{"operator_id","display_name"}]}` to all who may see the conversation.
/// What was carried out is `{"type":"ack","client_id","message_id"?,"conversation"?}`, what was refused
/// `{"type":"error","error_code","message","client_id"?}`. After `{"type":"resync"}` the page must load everything again.
#[utoipa::path(
    get, path = "/ws/operator", tag = "sockets",
    responses(
        (status = 101, description = "The connection is a WebSocket"),
        (status = 422, description = "`validation_failed`: the actor is no operator", body = Failure),
        (status = 426, description = "`upgrade_required`", body = Failure),
    )
)]
pub(crate) async fn operator_socket(State(backend): State<Backend>, request: Request) -> Response {
    serve(backend, request, |actor| {
        let id = actor.strip_prefix("operator:").filter(|id| !id.is_empty());
        id.map(|id| Speaker::Operator(id.to_owned())).ok_or("must be operator:<id> here")
    })
}

/// Who speaks on a socket.
enum Speaker {
    Visitor(SessionId),
    /// By the operator's id.
    Operator(String),
}

/// Completes the handshake, and speaks on the socket until either side has a reason to close it.
fn serve(backend: Backend, mut request: Request, read: impl Fn(&str) -> Result<Speaker, &'static str>) -> Response {
    let tenant_id = request.extensions().get::<TenantId>().copied();
    let actor = request.extensions().get::<Actor>();
    let (Some(tenant_id), Some(Actor(actor))) = (tenant_id, actor) else {
        return ApiError::internal("a signed route without its signature check").into_response();
    };
    let speaker = match read(actor) {
        Ok(speaker) => speaker,
        Err(wrong) => return ApiError::field("X-Relay-Actor", wrong).into_response(),
    };
    let (upgrading, response) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return *refused,
    };
    let tasks = backend.sockets.clone();
    tasks.spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let mut socket = websocket::socket(upgraded, Role::Server, BACKEND_READS_BYTES, None).await;
        let stopping = backend.stopping.clone();
        let speaking = async {
            match speaker {
                Speaker::Visitor(session) => converse(&mut socket, &backend, tenant_id, session).await,
                Speaker::Operator(id) => operator::serve(&mut socket, &backend, tenant_id, &id).await,
            }
        };
        let ended = tokio::select! {
            () = stopping.cancelled() => Ended::Stopping,
            ended = speaking => ended.err().unwrap_or(Ended::Left),
        };
        if let Some((code, reason)) = ended.close() {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            let _ = timeout(Duration::from_secs(1), socket.close(Some(frame))).await;
        }
    });
    response
}

async fn converse(
    socket: &mut Socket,
    backend: &Backend,
    tenant_id: TenantId,
    session: SessionId,
) -> Result<(), Ended> {
    let hello = hello(socket).await?;
    let visitor = Visitor::read(tenant_id, session, hello)?;
    let (mut stream, mut listener) = join(socket, backend, &visitor, None).await?;
    loop {
        if let Some(Turn { client_id }) = stream.take_turn() {
            (stream, listener) = join(socket, backend, &visitor, client_id).await?;
            continue;
        }
        match stream.next(socket, &mut listener).await? {
            Heard::Frame(frame) => {
                let span = traces::span(tenant_id, &frame);
                stream.answer(socket, frame).instrument(span).await?;
            }
            Heard::Writing => relay::send(socket, &ServerFrame::Typing { role: frames::Role::Agent }).await?,
            Heard::News => {}
        }
        stream.catch_up(socket).await?;
    }
}

/// Takes a place in the conversation that the visitor is in. `client_id` is that of the frame that asked for the conversation.
async fn join<'a>(
    socket: &mut Socket,
    backend: &'a Backend,
    visitor: &'a Visitor,
    client_id: Option<String>,
) -> Result<(ConversationStream<'a>, Listener), Ended> {
    match visitor.conversation(backend).await? {
        Some(id) => {
            // Listens before it reads: so it hears of what is written in between.
            let listener = backend.notifier.listen(&id);
            Ok((ConversationStream::welcome(socket, backend, visitor, (id, client_id)).await?, listener))
        }
        None => waiting::wait_for_conversation(socket, backend, visitor).await,
    }
}
