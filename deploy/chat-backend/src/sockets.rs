//! A visitor's conversation as it happens: the chat backend's end of the relay's WebSocket.
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
use wire::{SessionId, TenantId, frames::limits::BACKEND_READS_BYTES};

use super::{state::Backend, verify::Actor};

mod relay;
mod stream;
mod traces;
mod visitor;
mod waiting;

use relay::{Ended, Heard, PATIENCE, receive};
use stream::ConversationStream;
use visitor::Visitor;

/// A visitor's conversation, as it happens. The relay opens one WebSocket for each of a visitor's, as the actor
/// `visitor:<session>`, with an empty body under HMAC#2; frames are JSON text, and are not signed again.
///
/// **The relay says**, first, whose conversation it is: `{"type":"hello","session_id","bot_id","locale","metadata":{},
/// "routing_key":null|"…","mode":"bot|human","origin":null|"…","visitor_user_id"?}`. Where `visitor_user_id` is there, the tenant's
/// backend knows the visitor: the socket joins that visitor's newest active conversation, and where there is none, the first message
/// begins one (`welcome` then has `conversation_id: null`). Then what the visitor says, checked and written anew:
/// `{"type":"message","client_id":"<uuid>","content":"…","attachments":[]}`, `{"type":"typing"}`,
/// `{"type":"read","message_id"}` and `{"type":"resume","after":"<message_id>"}`. A message whose trace is recorded also has
/// `"traceparent":"…"` (W3C Trace Context).
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
pub(crate) async fn visitor_socket(State(backend): State<Backend>, mut request: Request) -> Response {
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
        let mut socket = websocket::socket(upgraded, Role::Server, BACKEND_READS_BYTES, None).await;
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
    let (mut stream, mut listener) = match visitor.conversation(backend).await? {
        Some(id) => {
            // Listens before it reads: so it hears of what is written in between.
            let listener = backend.notifier.listen(&id);
            (ConversationStream::welcome(socket, backend, tenant_id, session, id).await?, listener)
        }
        None => waiting::wait_for_conversation(socket, backend, &visitor).await?,
    };
    loop {
        match stream.next(socket, &mut listener).await? {
            Heard::Frame(frame) => {
                let span = traces::span(tenant_id, &frame);
                stream.answer(socket, frame).instrument(span).await?;
            }
            Heard::News => {}
        }
        stream.catch_up(socket).await?;
    }
}
