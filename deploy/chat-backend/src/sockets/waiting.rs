//! A known visitor who has no conversation yet.

use serde_json::{Map, Value};
use service::{ApiError, websocket::Socket};
use tracing::Instrument as _;
use wire::{
    ErrorCode,
    frames::{ClientFrame, ServerFrame},
};

use super::{
    relay::{Ended, Heard, receive, send},
    stream::ConversationStream,
    traces,
    visitor::Visitor,
};
use crate::{
    notifier::{self, Listener},
    records::{choices, waits},
    state::Backend,
    store::unavailable,
};

/// Welcomes a known visitor without a conversation, and waits until the visitor's first message, or another writer, begins one. To that of another
/// writer the visitor is welcomed anew.
pub(super) async fn wait_for_conversation<'a>(
    socket: &mut Socket,
    backend: &'a Backend,
    visitor: &'a Visitor,
) -> Result<(ConversationStream<'a>, Listener), Ended> {
    let tenant_id = visitor.tenant_id;
    let mut begun = backend.notifier.listen(&notifier::of_visitor(tenant_id, &visitor.user_id));
    let rows = backend.store.of(tenant_id);
    let handling = visitor.handling();
    let welcome = ServerFrame::Welcome {
        client_id: None,
        session_id: visitor.session,
        conversation_id: None,
        status: handling.status(),
        operator: None,
        history: Vec::new(),
        complete: Some(true),
        read_up_to: None,
        may_rate: true,
        rating: None,
        may_leave_email: backend.mails.are_sent(),
        email: None,
        expected_wait_s: waits::expected_s(&rows, handling, visitor.routing_key()).await.map_err(unavailable)?,
        may_open: true,
    };
    send(socket, &welcome).await?;
    // Another writer may have begun one after the look into the database, and before this socket listened.
    let mut heard = Heard::News;
    loop {
        let first = match heard {
            Heard::Frame(frame) => match frame.get("type").and_then(Value::as_str) {
                Some("message") => {
                    let span = traces::span(tenant_id, &frame);
                    Some((frame, span))
                }
                Some("read" | "resume" | "history") => {
                    let error = ApiError::new(
                        ErrorCode::MessageNotFound,
                        "There is no conversation yet: the first message begins one.",
                    );
                    let error = error.frame(None);
                    send(socket, &error).await?;
                    None
                }
                Some("rate" | "leave_email" | "feedback") => {
                    let error = ApiError::new(
                        ErrorCode::ConversationNotFound,
                        "There is no conversation yet: the first message begins one.",
                    );
                    let error = error.frame(wire::frames::client_id(&frame).map(str::to_owned));
                    send(socket, &error).await?;
                    None
                }
                Some("conversations") => {
                    let conversations = choices::list(&rows, &visitor.user_id).await.map_err(unavailable)?;
                    send(socket, &ServerFrame::Conversations { conversations }).await?;
                    None
                }
                Some("open_conversation") => {
                    let client_id = wire::frames::client_id(&frame).map(str::to_owned);
                    match open(backend, visitor, frame).await {
                        Ok(()) => {
                            let id = visitor.begin(backend).await?;
                            let listener = backend.notifier.listen(&id);
                            let stream = ConversationStream::welcome(socket, backend, visitor, (id, client_id)).await?;
                            return Ok((stream, listener));
                        }
                        Err(error) => send(socket, &error.frame(client_id)).await?,
                    }
                    None
                }
                _ => None,
            },
            Heard::News | Heard::Writing => None,
        };
        if let Some((frame, span)) = first {
            let id = visitor.begin(backend).instrument(span.clone()).await?;
            let listener = backend.notifier.listen(&id);
            let mut stream = ConversationStream::from_the_start(backend, visitor, id);
            stream.answer(socket, frame).instrument(span).await?;
            stream.catch_up(socket).await?;
            return Ok((stream, listener));
        }
        // Another writer has begun one.
        if let Some(id) = visitor.conversation(backend).await? {
            let listener = backend.notifier.listen(&id);
            return Ok((ConversationStream::welcome(socket, backend, visitor, (id, None)).await?, listener));
        }
        heard = tokio::select! {
            heard = receive(socket) => heard?,
            _ = begun.changed() => Heard::News,
        };
    }
}

/// Carries out an `open_conversation`.
async fn open(backend: &Backend, visitor: &Visitor, frame: Map<String, Value>) -> Result<(), ApiError> {
    match wire::frames::read(frame).map_err(ApiError::from)? {
        ClientFrame::OpenConversation { conversation_id, .. } => visitor.turn_to(backend, conversation_id).await,
        _ => Ok(()),
    }
}
