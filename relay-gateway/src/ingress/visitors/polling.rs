//! The calls of a visitor whose network lets no WebSocket through: one sends a frame, the other waits for frames. PROTOCOL.md,
//! section 5.11.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use service::{
    ApiError, Success,
    body::{self, BodyBounds},
    query::Query,
};
use wire::{
    ErrorCode,
    frames::limits::{CONVERSATION_ID_CHARS, MESSAGE_ID_CHARS},
};

use super::call::Call;
use crate::{
    directory::TenantDirectory,
    ingress::{
        cors::RequestOrigin,
        held::until_sent,
        refused_socket::{refused, without_token},
        request::bearer,
        shapes::visitors::{PolledFrames, SentFrame},
        socket,
    },
    sockets::{Closing, Poll, Polled, Visitor},
};

/// Seconds that a poll may wait: less than the proxies of most networks allow a silent answer.
const LONGEST_WAIT_S: u64 = 25;

/// Characters of `status`.
const STATUS_CHARS: usize = 32;

impl<D: TenantDirectory> Call<'_, D> {
    pub(super) async fn send_frame(&mut self, body: axum::body::Body) -> Result<Response, ApiError> {
        let visitor = self.visitor().await?;
        body::check_not_encoded(&self.parts.headers)?;
        let bounds = BodyBounds { limit: self.gateway.sockets.frame_limit(), ..self.gateway.body };
        let mut room = self.gateway.limits.hold_body(self.client);
        let (body, _) = body::read(&self.parts.headers, body, bounds, &mut room).await?;
        let text = std::str::from_utf8(&body).map_err(|_| {
            ApiError::new(ErrorCode::MalformedJson, "The body is not UTF-8. Send one frame, as JSON in UTF-8.")
        })?;
        let (sent, held) = self.gateway.sockets.send_frame(&visitor, text).await;
        let sent = sent.map(|frame| {
            let message = if frame.is_some() { "Answered." } else { "Sent." };
            Success::ok(SentFrame { frame }, message).into_response()
        });
        Ok(until_sent(sent.unwrap_or_else(|closing| self.refuse_socket(&closing)), held))
    }

    pub(super) async fn poll_frames(&mut self) -> Result<Response, ApiError> {
        let visitor = self.visitor().await?;
        let poll = read_poll(self.parts.uri.query())?;
        let (polled, held) = self.gateway.sockets.poll(&visitor, poll).await;
        let polled = polled.map(|Polled { frames, after }| {
            Success::ok(PolledFrames { frames, after }, "Poll again with this `after`.").into_response()
        });
        Ok(until_sent(polled.unwrap_or_else(|closing| self.refuse_socket(&closing)), held))
    }

    /// The visitor, by the token and the page that sends it. The tenant is judged later, as a socket is.
    pub(super) async fn visitor(&mut self) -> Result<Visitor<D>, ApiError> {
        let text = bearer(&self.parts.headers).ok_or_else(without_token)?;
        let visitor = socket::visitor(self.gateway, &self.parts, text, self.client).await;
        let visitor = visitor.map_err(|closing| refused(&closing))?;
        if let RequestOrigin::Page(_, text) = RequestOrigin::read(&self.parts.headers) {
            self.readable_by = Some(text);
        }
        Ok(visitor)
    }

    /// A visitor who was authenticated, and refused. The failure was counted where the visitor was judged.
    pub(super) fn refuse_socket(&self, closing: &Closing) -> Response {
        let error = refused(closing);
        self.gateway.metrics.refused(error.code());
        error.into_response()
    }
}

fn read_poll(query: Option<&str>) -> Result<Poll, ApiError> {
    let mut query = Query::parse(query);
    let after = match query.optional::<String>("after") {
        Some(after) => Some(after),
        None => query.is_given("after").then(String::new),
    };
    if after.as_ref().is_some_and(|after| after.chars().count() > MESSAGE_ID_CHARS) {
        query.refuse("after", format!("must have at most {MESSAGE_ID_CHARS} characters: it is a message's id"));
    }
    let status = query.optional::<String>("status");
    if status.as_ref().is_some_and(|status| status.len() > STATUS_CHARS) {
        query.refuse("status", format!("must have at most {STATUS_CHARS} characters: it is a conversation's status"));
    }
    let conversation_id = query.optional::<String>("conversation_id");
    if conversation_id.as_ref().is_some_and(|id| id.chars().count() > CONVERSATION_ID_CHARS) {
        query.refuse("conversation_id", format!("must have at most {CONVERSATION_ID_CHARS} characters"));
    }
    let wait = Duration::from_secs(query.number("wait_s", 0..=LONGEST_WAIT_S, 0));
    query.finish()?;
    Ok(Poll { after, status, conversation_id, wait })
}
