//! What the relay answers itself: operators, tokens, tenant info. The admin service owns these; the gateway reaches it over gRPC.

use std::time::{Duration, Instant};

use axum::response::{IntoResponse as _, Response};
use proto::{
    directory::v1::{GetTenantInfoRequest, TenantInfo, tenant_directory_client::TenantDirectoryClient},
    identity::v1::{
        IssueOperatorTokenRequest, MintVisitorTokenRequest, Operator, ProvisionOperatorRequest, RoutingKeys,
        identity_client::IdentityClient,
    },
    visitors::v1::{RevokeVisitorRequest, visitors_client::VisitorsClient},
};
use serde_json::json;
use service::{ApiError, Envelope, Failure, Success, body::json_object, fields::Fields};
use tokio::time::timeout_at;
use wire::{
    ErrorCode,
    frames::limits::{CONVERSATION_METADATA_BYTES, LOCALE_CHARS, ROUTING_KEY_CHARS, SIGNED_MESSAGE_CHARS},
    request_id::RequestId,
};

use super::{
    document::relay::{
        MintedToken, NamedOperator, NamedVisitor, NewOperator, NewVisitorToken, OperatorToken, ProvisionedOperator,
        RevokedVisitor, TAG, TenantInfo as DocumentedTenantInfo,
    },
    time,
};
use crate::{admin_client::AdminClient, domain::tenant::TenantState};

/// Of a call's time, what the answer of a change takes on its way.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// The calls the relay answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayEndpoint {
    ProvisionOperator,
    OperatorToken,
    VisitorToken,
    RevokeVisitor,
    TenantInfo,
}

/// Bytes a body may have: the largest that is honest is an operator's profile.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// Bytes a contact form may have: its fields at their longest, written with escapes.
pub(super) const CONTACT_TICKET_LIMIT: usize = 192 * 1024;

impl RelayEndpoint {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "provision/operator" => Some(Self::ProvisionOperator),
            "fetch/operator-token" => Some(Self::OperatorToken),
            "mint/visitor-token" => Some(Self::VisitorToken),
            "revoke/visitor" => Some(Self::RevokeVisitor),
            "fetch/tenant-info" => Some(Self::TenantInfo),
            _ => None,
        }
    }

    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::TenantInfo => "GET, HEAD",
            Self::ProvisionOperator | Self::OperatorToken | Self::VisitorToken | Self::RevokeVisitor => "POST",
        }
    }
}

/// Answers one of them for a verified tenant, by the deadline.
pub(super) async fn answer(
    endpoint: RelayEndpoint,
    admin: &AdminClient,
    tenant: &TenantState,
    request_id: &RequestId,
    body: &[u8],
    deadline: Instant,
) -> Result<Response, ApiError> {
    let token_generation = Some(tenant.token_generation);
    let tenant = tenant.id.as_uuid().as_bytes().to_vec();
    if endpoint == RelayEndpoint::RevokeVisitor {
        return revoke_visitor(admin, tenant, request_id, body, deadline).await;
    }
    let answered =
        timeout_at(deadline.into(), answer_by_admin(endpoint, admin, tenant, token_generation, request_id, body)).await;
    answered.unwrap_or_else(|_| {
        Err(ApiError::new(
            ErrorCode::DirectoryUnavailable,
            "The admin service gave no answer within call_deadline_ms. What was asked may have been done; asking again does no \
             harm.",
        )
        .retry_after_seconds(1))
    })
}

async fn answer_by_admin(
    endpoint: RelayEndpoint,
    admin: &AdminClient,
    tenant: Vec<u8>,
    token_generation: Option<u64>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    match endpoint {
        RelayEndpoint::ProvisionOperator => provision_operator(admin, tenant, request_id, body).await,
        RelayEndpoint::OperatorToken => operator_token(admin, tenant, token_generation, request_id, body).await,
        RelayEndpoint::VisitorToken => visitor_token(admin, tenant, token_generation, request_id, body).await,
        RelayEndpoint::TenantInfo | RelayEndpoint::RevokeVisitor => tenant_info(admin, tenant, request_id).await,
    }
}

/// Makes an operator, or refreshes the one with this email.
#[utoipa::path(
    post, path = "/api/v1/relay/provision/operator", tag = TAG, request_body = NewOperator,
    responses(
        (status = 200, description = "Refreshed", body = Envelope<ProvisionedOperator>),
        (status = 201, description = "Made", body = Envelope<ProvisionedOperator>),
    )
)]
pub(super) async fn provision_operator(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let message = ProvisionOperatorRequest {
        tenant_id,
        email: fields.text("email", 254),
        display_name: fields.text("display_name", 200),
        routing_keys: fields.optional_texts("routing_keys", 100, 100).map(|items| RoutingKeys { items }),
        avatar_url: fields.optional_text("avatar_url", 2048),
    };
    fields.finish()?;
    let answer = admin
        .call("chatrelay.identity.v1.Identity/ProvisionOperator", request_id, message, |channel, request| async move {
            IdentityClient::new(channel).provision_operator(request).await
        })
        .await?;
    let operator = answer.operator.unwrap_or_default();
    let data = json!({
        "operator_id": operator.operator_id,
        "tenant_id": operator.tenant_id,
        "email": operator.email,
        "display_name": operator.display_name,
        "routing_keys": operator.routing_keys,
        "avatar_url": operator.avatar_url,
        "created": answer.created,
        "created_at": time(operator.created_at)?,
        "updated_at": time(operator.updated_at)?,
    });
    Ok(if answer.created {
        Success::created(data, "Operator provisioned.").into_response()
    } else {
        Success::ok(data, "Operator refreshed.").into_response()
    })
}

/// A token by which an operator acts in this tenant and in no other.
#[utoipa::path(
    post, path = "/api/v1/relay/fetch/operator-token", tag = TAG, request_body = NamedOperator,
    responses(
        (status = 200, description = "Issued", body = Envelope<OperatorToken>),
        (status = 404, description = "`operator_not_found`", body = Failure),
    )
)]
pub(super) async fn operator_token(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    token_generation: Option<u64>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let message = IssueOperatorTokenRequest { tenant_id, email: fields.text("email", 254), token_generation };
    fields.finish()?;
    let answer = admin
        .call("chatrelay.identity.v1.Identity/IssueOperatorToken", request_id, message, |channel, request| async move {
            IdentityClient::new(channel).issue_operator_token(request).await
        })
        .await?;
    let Operator { operator_id, tenant_id, display_name, routing_keys, .. } = answer.operator.unwrap_or_default();
    let data = json!({
        "operator_id": operator_id,
        "display_name": display_name,
        "operator_token": answer.token,
        "expires_at": time(answer.expires_at)?,
        "tenant_id": tenant_id,
        "routing_keys": routing_keys,
    });
    Ok(Success::ok(data, "Operator token issued, for this tenant only.").into_response())
}

/// A token by which a visitor whom the tenant's backend knows opens the socket.
#[utoipa::path(
    post, path = "/api/v1/relay/mint/visitor-token", tag = TAG, request_body = NewVisitorToken,
    responses(
        (status = 201, description = "Minted", body = Envelope<MintedToken>),
    )
)]
pub(super) async fn visitor_token(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    token_generation: Option<u64>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let message = MintVisitorTokenRequest {
        tenant_id,
        token_generation,
        visitor_user_id: fields.text("visitor_user_id", 255),
        visitor_email_hash: fields.optional_text("visitor_email_hash", 255),
        ttl_seconds: fields.number("ttl_seconds", 60..=86_400, 3_600),
    };
    fields.finish()?;
    let answer = admin
        .call("chatrelay.identity.v1.Identity/MintVisitorToken", request_id, message, |channel, request| async move {
            IdentityClient::new(channel).mint_visitor_token(request).await
        })
        .await?;
    let data = json!({ "token": answer.token, "expires_at": time(answer.expires_at)? });
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
pub(super) async fn revoke_visitor(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    request_id: &RequestId,
    body: &[u8],
    deadline: Instant,
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let visitor_user_id = fields.text("visitor_user_id", 255);
    fields.finish()?;
    let left = deadline.saturating_duration_since(Instant::now());
    let message = RevokeVisitorRequest {
        tenant_id,
        visitor_user_id: visitor_user_id.clone(),
        wait_ms: propagation_wait_ms(left),
    };
    let method = "chatrelay.visitors.v1.Visitors/RevokeVisitor";
    let answer = admin.change(method, request_id, message, left, |channel, request| async move {
        VisitorsClient::new(channel).revoke_visitor(request).await
    });
    let answer = answer.await?;
    if !answer.is_everywhere {
        return Err(ApiError::new(
            ErrorCode::ChangePropagating,
            "The visitor is revoked, and not on every gateway yet. Send the call again, signed anew: it waits for the rest.",
        )
        .retry_after_seconds(1));
    }
    let data = json!({"visitor_user_id": visitor_user_id, "revoked_at": time(answer.revoked_at)?});
    Ok(Success::ok(data, "Visitor revoked: its tokens and sockets are over.").into_response())
}

/// How long the admin service may wait for a change to be true everywhere. It is less than the caller's remaining time, so that the
/// answer still arrives. Never 0, which would be as long as it takes.
pub(super) fn propagation_wait_ms(left: Duration) -> u32 {
    let wait = left.saturating_sub(ANSWER_MARGIN);
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// What the tenant may read of its own configuration.
#[utoipa::path(
    get, path = "/api/v1/relay/fetch/tenant-info", tag = TAG,
    responses(
        (status = 200, description = "The tenant", body = Envelope<DocumentedTenantInfo>),
    )
)]
pub(super) async fn tenant_info(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    request_id: &RequestId,
) -> Result<Response, ApiError> {
    let message = GetTenantInfoRequest { tenant_id };
    let TenantInfo {
        tenant_id,
        tenant_name,
        status,
        plan_tier,
        allowed_origins,
        voice_enabled,
        video_enabled,
        file_upload_enabled,
        multi_channel_enabled,
        monthly_msg_quota,
        storage_gb_quota,
        agent_seats,
    } = admin
        .call(
            "chatrelay.directory.v1.TenantDirectory/GetTenantInfo",
            request_id,
            message,
            |channel, request| async move { TenantDirectoryClient::new(channel).get_tenant_info(request).await },
        )
        .await?;
    let data = json!({
        "tenant_id": tenant_id,
        "tenant_name": tenant_name,
        "status": status,
        "plan_tier": plan_tier,
        "allowed_origins": allowed_origins,
        "voice_enabled": voice_enabled,
        "video_enabled": video_enabled,
        "file_upload_enabled": file_upload_enabled,
        "multi_channel_enabled": multi_channel_enabled,
        "monthly_msg_quota": monthly_msg_quota,
        "storage_gb_quota": storage_gb_quota,
        "agent_seats": agent_seats,
    });
    Ok(Success::ok(data, "Tenant fetched.").into_response())
}

/// Refuses a contact form with missing or malformed fields, so that no backend has to.
pub(super) fn check_contact_ticket(body: &[u8]) -> Result<(), ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let email = fields.text("customer_email", 254);
    if !email.is_empty()
        && !email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
    {
        fields.refuse("customer_email", "must be an email address");
    }
    fields.text("customer_name", 200);
    fields.text("subject", 500);
    fields.text("message", SIGNED_MESSAGE_CHARS);
    fields.optional_text("company", 200);
    fields.optional_text("source", 200);
    fields.optional_text("locale", LOCALE_CHARS);
    fields.optional_text("routing_key", ROUTING_KEY_CHARS);
    fields.object("metadata", CONVERSATION_METADATA_BYTES);
    fields.finish()
}
