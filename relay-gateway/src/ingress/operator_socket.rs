//! `GET /ws/operator`: an operator's page gets a WebSocket, by a ticket or a token. PROTOCOL.md, section 8.5.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::request::Parts;
use service::{ApiError, Failure, edge::ConcernedTenant, query::Query};
use wire::time::now_unix_ms;

use super::{handshake, request::request_id, shapes::operators::TAG, state::Gateway};
use crate::{
    directory::TenantDirectory,
    limits::Lane,
    sockets::{Closing, Operator},
};

/// An operator's inbox, as it happens.
///
/// Opened with a ticket of `POST /api/v1/operator/create/socket-ticket`, or with the token as
/// `Sec-WebSocket-Protocol: chat-relay.v1, bearer.<operator_token>`. The operator says `watch`, `typing`, `read`, `message`, `claim`,
/// `release`, `hand_back`, `resolve` and `reopen` (PROTOCOL.md, section 8.5). It hears `welcome` first, and then what the chat backend says
/// (its document has the frames under `/ws/operator`).
///
/// It is closed with 4401 (the token opens nothing any more: refresh it, or ask the tenant's backend for another), 4403
/// (`tenant_suspended`), 4408 (idle, or nothing is read), 4413, 4429, 1012 or 1013 as a visitor's is.
#[utoipa::path(
    get, path = "/api/v1/ws/operator", tag = TAG,
    params(
        ("ticket" = Option<String>, Query, description = "Good for 30 s, once"),
        ("sec-websocket-protocol" = Option<String>, Header, description = "`chat-relay.v1, bearer.<operator_token>`, in the place of a ticket"),
    ),
    responses(
        (status = 101, description = "The connection is a WebSocket; what is wrong with the ticket is said by its close code"),
        (status = 426, description = "`upgrade_required`", body = Failure),
        (status = 429, description = "`rate_limited`", body = Failure),
    )
)]
pub(super) async fn upgrade<D: TenantDirectory>(
    State(gateway): State<Arc<Gateway<D>>>,
    request: Request,
) -> Result<Response, ApiError> {
    let authenticate = async |parts: &Parts, client| authenticate(&gateway, parts, client).await;
    handshake::complete(&gateway, request, (Lane::Operator, &gateway.operator_sockets), authenticate).await
}

/// Checks the ticket or the token alone. The tenant and the membership are judged later, once the socket has its slot.
async fn authenticate<D: TenantDirectory>(
    gateway: &Gateway<D>,
    parts: &Parts,
    client: IpAddr,
) -> Result<Operator<D>, Closing> {
    let now = now_unix_ms();
    let token = match handshake::bearer(&parts.headers) {
        Some(text) => gateway
            .signing_keys
            .verify_operator(text)
            .await
            .map_err(|_| Closing::TryAgain("the relay cannot check tokens right now: connect again later"))?,
        None => {
            let ticket = Query::parse(parts.uri.query()).optional::<String>("ticket");
            ticket.and_then(|ticket| gateway.tickets.take(&ticket, now))
        }
    };
    let token = token.filter(|token| !token.has_ended(now)).ok_or(Closing::Token)?;
    ConcernedTenant::note(&parts.extensions, token.tenant_id);
    Ok(Operator::new(gateway.operator_sockets.judge(), token, client, request_id(&parts.extensions)))
}
