//! A known visitor who has no conversation yet.

use serde_json::Value;
use service::{ApiError, websocket::Socket};
use tracing::Instrument as _;
use wire::{ErrorCode, frames::ServerFrame};

use super::{
    relay::{Ended, Heard, receive, send},
    stream::ConversationStream,
    traces,
    visitor::Visitor,
};
use crate::{
    notifier::{self, Listener},
    state::Backend,
};

/// Welcomes a known visitor without a conversation, and waits until the visitor's first message, or another writer, begins one.
pub(super) async fn wait_for_conversation<'a>(
    socket: &mut Socket,
    backend: &'a Backend,
    visitor: &Visitor,
) -> Result<(ConversationStream<'a>, Listener), Ended> {
    let (tenant_id, session) = (visitor.tenant_id, visitor.session);
    let mut begun = backend.notifier.listen(&notifier::of_visitor(tenant_id, &visitor.user_id));
    let welcome = ServerFrame::Welcome {
        session_id: session,
        conversation_id: None,
        status: visitor.handling().status(),
        operator: None,
        history: Vec::new(),
        complete: Some(true),
        read_up_to: None,
        may_rate: true,
        rating: None,
        may_leave_email: backend.mails.are_sent(),
        email: None,
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
                Some("rate" | "leave_email") => {
                    let error = ApiError::new(
                        ErrorCode::ConversationNotFound,
                        "There is no conversation yet: the first message begins one.",
                    );
                    let error = error.frame(wire::frames::client_id(&frame).map(str::to_owned));
                    send(socket, &error).await?;
                    None
                }
                _ => None,
            },
            Heard::News | Heard::Writing => None,
        };
        let id = match &first {
            Some((_, span)) => visitor.begin(backend).instrument(span.clone()).await?,
            None => match visitor.conversation(backend).await? {
                Some(id) => id,
                None => {
                    heard = tokio::select! {
                        heard = receive(socket) => heard?,
                        _ = begun.changed() => Heard::News,
                    };
                    continue;
                }
            },
        };
        let listener = backend.notifier.listen(&id);
        let mut stream = ConversationStream::from_the_start(backend, (tenant_id, session), id, visitor.handling());
        if let Some((frame, span)) = first {
            stream.answer(socket, frame).instrument(span).await?;
        }
        stream.catch_up(socket).await?;
        return Ok((stream, listener));
    }
}
