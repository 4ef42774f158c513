//! Who calls on the operator lane: a token that the admin service signed, for a membership that still stands.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::request::Parts;
use service::{ApiError, edge::ConcernedTenant};
use wire::{ErrorCode, operator::ActingOperator, request_id::RequestId, time::now_unix_ms};

use crate::{
    directory::TenantDirectory,
    domain::{
        operator::{Membership, TokenOver, check_membership, check_tenant},
        tenant::TenantState,
        token::OperatorToken,
    },
    errors::suspended,
    ingress::{request::bearer, state::Gateway},
    limits::Lane,
};

/// An operator whose token opens the tenant's inbox.
pub(crate) struct Caller {
    pub(super) token: OperatorToken,
    pub(super) tenant: Arc<TenantState>,
    pub(super) membership: Arc<Membership>,
}

impl Caller {
    /// What a chat backend is told of the operator.
    pub(super) fn acting(&self) -> ActingOperator {
        told(&self.membership)
    }
}

/// What a chat backend is told of an operator.
pub(super) fn told(membership: &Membership) -> ActingOperator {
    let Membership { display_name, avatar_url, routing_keys, .. } = membership;
    ActingOperator {
        display_name: display_name.clone(),
        avatar_url: avatar_url.clone(),
        routing_keys: routing_keys.clone(),
    }
}

/// Reads the call's token, and judges what it rests on as it is now. Refused tokens count against the address.
///
/// # Errors
/// `invalid_operator_token`, `operator_token_superseded`, `tenant_suspended`, `directory_unavailable`; `rate_limited` where the address
/// has failed too often.
pub(super) async fn authenticate<D: TenantDirectory>(
    gateway: &Gateway<D>,
    parts: &Parts,
    client: IpAddr,
    request_id: &RequestId,
) -> Result<Caller, ApiError> {
    let judged = judge(gateway, parts, request_id).await;
    if judged.as_ref().is_err_and(|error| error.code().statuses().0.is_client_error()) {
        gateway.limits.count_failure(Lane::Operator, client, Instant::now())?;
    }
    judged
}

async fn judge<D: TenantDirectory>(
    gateway: &Gateway<D>,
    parts: &Parts,
    request_id: &RequestId,
) -> Result<Caller, ApiError> {
    let text = bearer(&parts.headers).ok_or_else(invalid)?;
    let token = gateway.signing_keys.verify_operator(text).await?.ok_or_else(invalid)?;
    ConcernedTenant::note(&parts.extensions, token.tenant_id);
    if token.has_ended(now_unix_ms()) {
        return Err(invalid());
    }
    let known = gateway.directory.lookup(token.tenant_id, request_id).await?;
    let tenant = known.tenant.ok_or_else(invalid)?;
    check_tenant(&token, &tenant).map_err(over)?;
    let membership = gateway.directory.membership(&tenant, token.operator_id, request_id).await?;
    let membership = membership.ok_or_else(invalid)?;
    check_membership(&token, &membership).map_err(over)?;
    Ok(Caller { token, tenant, membership })
}

fn over(why: TokenOver) -> ApiError {
    match why {
        TokenOver::Suspended => suspended(),
        TokenOver::Superseded => ApiError::operator_token_superseded(),
    }
}

fn invalid() -> ApiError {
    ApiError::new(
        ErrorCode::InvalidOperatorToken,
        "Send `Authorization: Bearer <operator_token>` with a token of this relay's that has not ended. The tenant's backend gets one \
         by POST /api/v1/relay/fetch/operator-token.",
    )
}
