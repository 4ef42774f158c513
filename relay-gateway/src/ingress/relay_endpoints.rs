//! What the relay answers itself: operators, tokens, tenant info, and events ([`super::relay_events`]). The admin service owns these;
//! the gateway reaches it over gRPC.

use axum::response::{IntoResponse as _, Response};
use service::{ApiError, Envelope, Failure, Success, body::json_object, query::Query};
use tokio::time::timeout_at;
use wire::{ErrorCode, contact_form::NewContactTicket};

use super::{
    admin_call::AdminCall,
    relay_events::{EventChange, EventRead},
    shapes::signed::{
        MintedToken, NamedOperator, NamedVisitor, NewOperator, NewVisitorToken, OperatorPage, OperatorToken,
        OperatorView, ProvisionedOperator, RevokedName, RevokedVisitor, TAG,
    },
};
use crate::admin::{self, TenantInfo};

/// The calls the relay answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayEndpoint {
    ProvisionOperator,
    OperatorToken,
    RevokeOperator,
    Operators,
    VisitorToken,
    RevokeVisitor,
    TenantInfo,
    EventRead(EventRead),
    EventChange(EventChange),
}

/// Bytes a body may have: the largest that is honest is an operator's profile.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// Bytes a contact form may have: its fields at their longest, written with escapes.
pub(super) const CONTACT_TICKET_LIMIT: usize = 192 * 1024;

/// Operators of a page, at most and unless said otherwise.
const MOST_OPERATORS: u64 = 500;
const DEFAULT_OPERATORS: u64 = 100;

impl RelayEndpoint {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "provision/operator" => Some(Self::ProvisionOperator),
            "fetch/operator-token" => Some(Self::OperatorToken),
            "revoke/operator" => Some(Self::RevokeOperator),
            "fetch/operators" => Some(Self::Operators),
            "mint/visitor-token" => Some(Self::VisitorToken),
            "revoke/visitor" => Some(Self::RevokeVisitor),
            "fetch/tenant-info" => Some(Self::TenantInfo),
            _ => EventRead::at(rest).map(Self::EventRead).or_else(|| EventChange::at(rest).map(Self::EventChange)),
        }
    }

    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::TenantInfo | Self::Operators | Self::EventRead(_) => "GET, HEAD",
            Self::ProvisionOperator
            | Self::OperatorToken
            | Self::RevokeOperator
            | Self::VisitorToken
            | Self::RevokeVisitor
            | Self::EventChange(_) => "POST",
        }
    }
}

/// What a call was sent with.
pub(super) struct Sent<'a> {
    pub(super) query: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// Answers one of them for a verified tenant, by the deadline.
pub(super) async fn answer(
    endpoint: RelayEndpoint,
    call: &AdminCall<'_>,
    sent: Sent<'_>,
) -> Result<Response, ApiError> {
    let body = sent.body;
    let by_admin = async {
        match endpoint {
            RelayEndpoint::ProvisionOperator => provision_operator(call, body).await,
            RelayEndpoint::OperatorToken => operator_token(call, body).await,
            RelayEndpoint::RevokeOperator => revoke_operator(call, body).await,
            RelayEndpoint::Operators => fetch_operators(call, sent.query).await,
            RelayEndpoint::VisitorToken => visitor_token(call, body).await,
            RelayEndpoint::TenantInfo => tenant_info(call).await,
            RelayEndpoint::EventRead(read) => read.answer(call, sent.query).await,
            RelayEndpoint::RevokeVisitor => revoke_visitor(call, body).await,
            RelayEndpoint::EventChange(change) => change.answer(call, body).await,
        }
    };
    // These bound their time themselves: they say what became of the change.
    let is_change = matches!(
        endpoint,
        RelayEndpoint::ProvisionOperator
            | RelayEndpoint::RevokeOperator
            | RelayEndpoint::RevokeVisitor
            | RelayEndpoint::EventChange(_)
    );
    if is_change {
        return by_admin.await;
    }
    let answered = timeout_at(call.deadline.into(), by_admin).await;
    answered.unwrap_or_else(|_| {
        Err(ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The admin service gave no answer within call_deadline_ms. What was asked may have been done; asking again does no \
             harm.",
        )
        .retry_after_seconds(1))
    })
}

/// Makes an operator, or refreshes the one with this email. Other routing keys end the operator's older tokens and sockets; a revoked
/// operator is restored, and its older tokens stay invalid.
#[utoipa::path(
    post, path = "/api/v1/relay/provision/operator", tag = TAG, request_body = NewOperator,
    responses(
        (status = 200, description = "Refreshed", body = Envelope<ProvisionedOperator>),
        (status = 201, description = "Made", body = Envelope<ProvisionedOperator>),
        (status = 409, description = "`seat_limit_reached`: the tenant has as many active operators as `agent_seats` allows", body = Failure),
        (status = 503, description = "`change_propagating`: it is made, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn provision_operator(call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
    let NewOperator { email, display_name, routing_keys, avatar_url } = NewOperator::read(body)?;
    let operator = admin::NewOperator { email, display_name, routing_keys, avatar_url };
    let provisioned = call.admin.provision_operator(call.tenant.id, operator, call.left(), call.request_id).await?;
    let (operator, created) = provisioned.everywhere(
        "The operator is refreshed, and not on every gateway yet. Send the call again, signed anew: it waits for the rest.",
    )?;
    let data = ProvisionedOperator { operator: operator.into(), created };
    Ok(if created {
        Success::created(data, "Operator provisioned.").into_response()
    } else {
        Success::ok(data, "Operator refreshed.").into_response()
    })
}

/// Ends an operator's membership, its tokens and its sockets. Repeating it is not an error; provisioning brings the operator back.
#[utoipa::path(
    post, path = "/api/v1/relay/revoke/operator", tag = TAG, request_body = RevokedName,
    responses(
        (status = 200, description = "Revoked", body = Envelope<OperatorView>),
        (status = 404, description = "`operator_not_found`", body = Failure),
        (status = 503, description = "`change_propagating`: it is made, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn revoke_operator(call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
    let name = match RevokedName::read(body)? {
        RevokedName { email: Some(email), .. } => admin::OperatorName::Email(email),
        RevokedName { operator_id, .. } => admin::OperatorName::Id(operator_id.unwrap_or_default()),
    };
    let revoked = call.admin.revoke_operator(call.tenant.id, name, call.left(), call.request_id).await?;
    let operator = revoked.everywhere(
        "The operator is revoked, and not on every gateway yet. Send the call again, signed anew: it waits for the rest.",
    )?;
    let data = OperatorView::from(operator);
    Ok(Success::ok(data, "Operator revoked: its tokens and sockets are over.").into_response())
}

/// The tenant's operators, newest first, revoked ones included.
#[utoipa::path(
    get, path = "/api/v1/relay/fetch/operators", tag = TAG,
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "100 unless said otherwise. More than 500 means 500"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Envelope<OperatorPage>),
    )
)]
pub(super) async fn fetch_operators(call: &AdminCall<'_>, query: Option<&str>) -> Result<Response, ApiError> {
    // The published client does not encode a plus.
    let mut query = Query::parse_literal_plus(query);
    let cursor = query.optional::<String>("cursor").unwrap_or_default();
    let limit = query.number("limit", 1..=u64::MAX, DEFAULT_OPERATORS).min(MOST_OPERATORS);
    query.finish()?;
    let limit = u32::try_from(limit).map_err(ApiError::internal)?;
    let page = call.admin.operators(call.tenant.id, cursor, limit, call.request_id).await?;
    let items = page.operators.into_iter().map(OperatorView::from).collect();
    let data = OperatorPage { items, next_cursor: page.next_cursor, active: page.active, seats: page.seats };
    Ok(Success::ok(data, "Operators fetched.").into_response())
}

/// A token by which an operator acts in this tenant and in no other.
#[utoipa::path(
    post, path = "/api/v1/relay/fetch/operator-token", tag = TAG, request_body = NamedOperator,
    responses(
        (status = 200, description = "Issued", body = Envelope<OperatorToken>),
        (status = 404, description = "`operator_not_found`", body = Failure),
    )
)]
pub(super) async fn operator_token(call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
    let NamedOperator { email } = NamedOperator::read(body)?;
    let (operator, issued) =
        call.admin.issue_operator_token(call.tenant.id, email, call.tenant.token_generation, call.request_id).await?;
    let admin::Operator { operator_id, tenant_id, display_name, routing_keys, .. } = operator;
    let data = OperatorToken {
        operator_id,
        display_name,
        operator_token: issued.token,
        expires_at: issued.expires_at,
        tenant_id,
        routing_keys,
    };
    Ok(Success::ok(data, "Operator token issued, for this tenant only.").into_response())
}

/// A token by which a visitor whom the tenant's backend knows opens the socket.
#[utoipa::path(
    post, path = "/api/v1/relay/mint/visitor-token", tag = TAG, request_body = NewVisitorToken,
    responses(
        (status = 201, description = "Minted", body = Envelope<MintedToken>),
    )
)]
pub(super) async fn visitor_token(call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
    let NewVisitorToken { visitor_user_id, visitor_email_hash, ttl_seconds } = NewVisitorToken::read(body)?;
    let visitor = admin::NewVisitorToken { visitor_user_id, visitor_email_hash, ttl_seconds };
    let issued =
        call.admin.mint_visitor_token(call.tenant.id, visitor, call.tenant.token_generation, call.request_id).await?;
    let data = MintedToken { token: issued.token, expires_at: issued.expires_at };
    Ok(Success::created(data, "Visitor token minted.").into_response())
}

/// Ends a visitor's minted tokens and sockets. It is made once; where it is not true everywhere by the deadline, that is said,
/// and the same call signed anew waits for the rest.
#[utoipa::path(
    post, path = "/api/v1/relay/revoke/visitor", tag = TAG, request_body = NamedVisitor,
    responses(
        (status = 200, description = "Revoked", body = Envelope<RevokedVisitor>),
        (status = 503, description = "`change_propagating`: it is made, and not on every gateway yet", body = Failure),
    )
)]
pub(super) async fn revoke_visitor(call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
    let NamedVisitor { visitor_user_id } = NamedVisitor::read(body)?;
    let revoked =
        call.admin.revoke_visitor(call.tenant.id, visitor_user_id.clone(), call.left(), call.request_id).await?;
    let revoked_at = revoked.everywhere(
        "The visitor is revoked, and not on every gateway yet. Send the call again, signed anew: it waits for the rest.",
    )?;
    let data = RevokedVisitor { visitor_user_id, revoked_at };
    Ok(Success::ok(data, "Visitor revoked: its tokens and sockets are over.").into_response())
}

/// What the tenant may read of its own configuration.
#[utoipa::path(
    get, path = "/api/v1/relay/fetch/tenant-info", tag = TAG,
    responses(
        (status = 200, description = "The tenant", body = Envelope<TenantInfo>),
    )
)]
pub(super) async fn tenant_info(call: &AdminCall<'_>) -> Result<Response, ApiError> {
    let data = call.admin.tenant_info(call.tenant.id, call.request_id).await?;
    Ok(Success::ok(data, "Tenant fetched.").into_response())
}

/// Refuses a contact form with missing or malformed fields, so that no backend has to.
pub(super) fn check_contact_ticket(body: &[u8]) -> Result<(), ApiError> {
    NewContactTicket::read(json_object(body)?)?;
    Ok(())
}
