//! What the relay answers itself on the operator lane: who the caller is and who the colleagues are, another token, and tickets for
//! sockets.

use axum::response::{IntoResponse as _, Response};
use service::{ApiError, Envelope, Failure, Success, query::Query};
use wire::{
    request_id::RequestId,
    time::{WireTime, now_unix_ms},
};

use super::caller::Caller;
use crate::{
    admin::OldToken,
    directory::TenantDirectory,
    ingress::{
        shapes::operators::{Colleague, ColleaguePage, Me, RefreshedOperatorToken, SocketTicket, TAG},
        state::Gateway,
    },
};

/// Operators in a page.
const COLLEAGUES_AT_ONCE: u32 = 500;

/// The calls that the relay answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnEndpoint {
    Me,
    RefreshToken,
    SocketTicket,
    Operators,
}

impl OwnEndpoint {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "fetch/me" => Some(Self::Me),
            "refresh/token" => Some(Self::RefreshToken),
            "create/socket-ticket" => Some(Self::SocketTicket),
            "fetch/operators" => Some(Self::Operators),
            _ => None,
        }
    }

    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Me | Self::Operators => "GET, HEAD",
            Self::RefreshToken | Self::SocketTicket => "POST",
        }
    }

    pub(super) async fn answer<D: TenantDirectory>(
        self,
        gateway: &Gateway<D>,
        caller: &Caller,
        query: Option<&str>,
        request_id: &RequestId,
    ) -> Result<Response, ApiError> {
        match self {
            Self::Me => Ok(fetch_me(caller)),
            Self::RefreshToken => refresh_token(gateway, caller, request_id).await,
            Self::SocketTicket => Ok(create_socket_ticket(gateway, caller)),
            Self::Operators => fetch_operators(gateway, caller, query, request_id).await,
        }
    }
}

/// Who the token's operator is, as the tenant has it now.
#[utoipa::path(
    get, path = "/api/v1/operator/fetch/me", tag = TAG,
    responses(
        (status = 200, description = "The operator", body = Envelope<Me>),
    )
)]
pub(crate) fn fetch_me(caller: &Caller) -> Response {
    let (token, membership) = (&caller.token, &caller.membership);
    let data = Me {
        operator_id: token.operator_id,
        tenant_id: token.tenant_id,
        email: membership.email.clone(),
        display_name: membership.display_name.clone(),
        avatar_url: membership.avatar_url.clone(),
        routing_keys: membership.routing_keys.clone(),
        token_expires_at: WireTime::from_unix_ms(token.ends_at_ms()),
    };
    Success::ok(data, "Operator fetched.").into_response()
}

/// Another token for the same operator. Until 12 h after the tenant's backend fetched the first, and never past a revocation.
#[utoipa::path(
    post, path = "/api/v1/operator/refresh/token", tag = TAG,
    responses(
        (status = 200, description = "Issued", body = Envelope<RefreshedOperatorToken>),
    )
)]
pub(crate) async fn refresh_token<D: TenantDirectory>(
    gateway: &Gateway<D>,
    caller: &Caller,
    request_id: &RequestId,
) -> Result<Response, ApiError> {
    let token = &caller.token;
    let old = OldToken {
        operator_id: token.operator_id,
        membership_version: token.membership_version,
        token_generation: token.tenant_generation,
        first_issued_at: token.first_issued_at,
    };
    let (_, issued) = gateway.admin.refresh_operator_token(caller.tenant.id, old, request_id).await?;
    let data = RefreshedOperatorToken { operator_token: issued.token, expires_at: issued.expires_at };
    Ok(Success::ok(data, "Operator token refreshed.").into_response())
}

/// A ticket that opens `/api/v1/ws/operator` once, within 30 s: so no token stands in a URL.
#[utoipa::path(
    post, path = "/api/v1/operator/create/socket-ticket", tag = TAG,
    responses(
        (status = 201, description = "Made", body = Envelope<SocketTicket>),
    )
)]
pub(crate) fn create_socket_ticket<D: TenantDirectory>(gateway: &Gateway<D>, caller: &Caller) -> Response {
    let (ticket, ends_at_ms) = gateway.tickets.issue(&caller.token, now_unix_ms());
    let data = SocketTicket { ticket, expires_at: WireTime::from_unix_ms(ends_at_ms) };
    Success::created(data, "Ticket made. Connect to /api/v1/ws/operator?ticket=<ticket>.").into_response()
}

/// The tenant's active operators, newest first: those to whom a conversation can be assigned.
#[utoipa::path(
    get, path = "/api/v1/operator/fetch/operators", tag = TAG,
    params(("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses(
        (status = 200, description = "A page. It leaves out those who are revoked, so it may be short while more follow", body = Envelope<ColleaguePage>),
        (status = 422, description = "`validation_failed`", body = Failure),
    )
)]
pub(crate) async fn fetch_operators<D: TenantDirectory>(
    gateway: &Gateway<D>,
    caller: &Caller,
    query: Option<&str>,
    request_id: &RequestId,
) -> Result<Response, ApiError> {
    let mut query = Query::parse(query);
    let cursor = query.optional::<String>("cursor").unwrap_or_default();
    query.finish()?;
    let page = gateway.admin.operators(caller.tenant.id, cursor, COLLEAGUES_AT_ONCE, request_id).await?;
    let active = page.operators.into_iter().filter(|operator| operator.revoked_at.is_none());
    let data = ColleaguePage { items: active.map(Colleague::from).collect(), next_cursor: page.next_cursor };
    Ok(Success::ok(data, "Operators fetched.").into_response())
}
