//! `GET /ws/widget`: a visitor's page gets a WebSocket, by a token that is bound to the page. PROTOCOL.md, section 5.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::request::Parts;
use service::{ApiError, Failure, edge::ConcernedTenant, query::Query};
use wire::time::now_unix_ms;

use super::{cors::RequestOrigin, handshake, request::request_id, state::Gateway};
use crate::{
    directory::TenantDirectory,
    domain::token::Opens,
    limits::Lane,
    sockets::{Closing, Visitor},
};

/// A visitor's conversation, over a WebSocket.
///
/// The token is that of a widget's session, or one that `mint/visitor-token` made for a visitor whom the tenant's backend knows. It
/// is sent as `Sec-WebSocket-Protocol: chat-relay.v1, bearer.<token>`, of which `chat-relay.v1` is selected, so that no proxy logs
/// it; published clients send it as `?token=`.
///
/// The visitor says `{"type":"message","client_id":"<uuid>","content":"…","attachments":[]}`, `{"type":"typing"}`,
/// `{"type":"read","message_id"}` or `{"type":"resume","after":"<message_id>"}`. It hears `welcome` first, then what the chat
/// backend says (its document has them under `/ws/visitor`), and from the relay itself `{"type":"config","widget_config"}`
/// where the widget's look has changed and `{"type":"error","error_code","message","client_id"?,"retry_after_seconds"?}` where a
/// frame was refused.
///
/// It is closed with 4401 (the token opens no session: refresh it), 4403 (forbidden: the reason begins with
/// `tenant_suspended`, `invalid_widget_key` or `origin_not_allowed`), 4408 (idle, or nothing is read), 4413 (a frame beyond the
/// limit), 4429 (too many frames, or sockets of one session), 1012 (the relay restarts), 1013 (the chat backend is away, or there
/// is no room), 1002, 1003 or 1007 (not WebSocket, not text, not UTF-8), or what the chat backend gives from 4000 to 4999.
#[utoipa::path(
    get, path = "/api/v1/ws/widget", tag = "visitors",
    params(
        ("sec-websocket-protocol" = Option<String>, Header, description = "`chat-relay.v1, bearer.<visitor_token>`"),
        ("token" = Option<String>, Query, description = "The visitor_token, where it is not among the subprotocols"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket; what is wrong with the token is said by its close code"),
        (status = 426, description = "`upgrade_required`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
    )
)]
pub(super) async fn upgrade<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    let authenticate = async |parts: &Parts, client| authenticate(&gateway, parts, client).await;
    handshake::complete(&gateway, request, (Lane::Visitor, &gateway.sockets), authenticate).await
}

async fn authenticate<D: TenantDirectory>(
    gateway: &Gateway<D>,
    parts: &Parts,
    client: IpAddr,
) -> Result<Visitor<D>, Closing> {
    let text = token(parts).ok_or(Closing::Token)?;
    visitor(gateway, parts, &text, client).await
}

/// The visitor whose token this is. The token and the page are checked alone: the tenant is judged once the visitor has a slot.
///
/// # Errors
/// What a socket is closed with.
pub(super) async fn visitor<D: TenantDirectory>(
    gateway: &Gateway<D>,
    parts: &Parts,
    text: &str,
    client: IpAddr,
) -> Result<Visitor<D>, Closing> {
    let verified = gateway.signing_keys.verify(text).await;
    let token = verified
        .map_err(|_| Closing::TryAgain("the relay cannot check tokens right now: connect again later"))?
        .filter(|token| !token.has_ended(now_unix_ms()))
        .ok_or(Closing::Token)?;
    ConcernedTenant::note(&parts.extensions, token.tenant_id);
    match (&token.opens, RequestOrigin::read(&parts.headers)) {
        // A client that sends no `Origin` is not a browser: the token alone decides. A minted token is bound to no page.
        (_, RequestOrigin::Absent) | (Opens::Minted { .. }, _) => {}
        (Opens::Session { origin, .. }, RequestOrigin::Page(page, _)) if page == *origin => {}
        (Opens::Session { .. }, RequestOrigin::Page(..) | RequestOrigin::Opaque) => {
            return Err(Closing::Forbidden("origin_not_allowed: the token is for pages of another origin"));
        }
    }
    Ok(Visitor::new(gateway.sockets.judge(), token, client, request_id(&parts.extensions)))
}

/// The token: among the subprotocols, where no proxy logs it, or in the URL, as published clients send it.
fn token(parts: &Parts) -> Option<Cow<'_, str>> {
    match handshake::bearer(&parts.headers) {
        Some(token) => Some(token.into()),
        None => Query::parse(parts.uri.query()).optional::<String>("token").map(Cow::Owned),
    }
}
