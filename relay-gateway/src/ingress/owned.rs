//! What the relay answers itself: operators, tokens, tenant info. Owned by the admin service, reached over gRPC.

use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use proto::{
    directory::v1::{GetTenantInfoRequest, TenantInfo, tenant_directory_client::TenantDirectoryClient},
    identity::v1::{
        IssueOperatorTokenRequest, MintVisitorTokenRequest, Operator, ProvisionOperatorRequest, RoutingKeys,
        identity_client::IdentityClient,
    },
};
use serde_json::json;
use shared::{ApiError, Success, TenantId, body::json_object, fields::Fields, request_id::RequestId};

use crate::admin_client::AdminClient;

/// The calls the relay answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    ProvisionOperator,
    OperatorToken,
    VisitorToken,
    TenantInfo,
}

impl Owned {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "provision/operator" => Some(Self::ProvisionOperator),
            "fetch/operator-token" => Some(Self::OperatorToken),
            "mint/visitor-token" => Some(Self::VisitorToken),
            "fetch/tenant-info" => Some(Self::TenantInfo),
            _ => None,
        }
    }

    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::TenantInfo => "GET, HEAD",
            Self::ProvisionOperator | Self::OperatorToken | Self::VisitorToken => "POST",
        }
    }
}

/// Answers one of them for a verified tenant.
pub(super) async fn answer(
    owned: Owned,
    admin: &AdminClient,
    tenant_id: TenantId,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let tenant = tenant_id.as_uuid().as_bytes().to_vec();
    match owned {
        Owned::ProvisionOperator => provision_operator(admin, tenant, request_id, body).await,
        Owned::OperatorToken => operator_token(admin, tenant, request_id, body).await,
        Owned::VisitorToken => visitor_token(admin, tenant, request_id, body).await,
        Owned::TenantInfo => tenant_info(admin, tenant, request_id).await,
    }
}

async fn provision_operator(
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

async fn operator_token(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let message = IssueOperatorTokenRequest { tenant_id, email: fields.text("email", 254) };
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

async fn visitor_token(
    admin: &AdminClient,
    tenant_id: Vec<u8>,
    request_id: &RequestId,
    body: &[u8],
) -> Result<Response, ApiError> {
    let mut fields = Fields::new(json_object(body)?);
    let message = MintVisitorTokenRequest {
        tenant_id,
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

async fn tenant_info(admin: &AdminClient, tenant_id: Vec<u8>, request_id: &RequestId) -> Result<Response, ApiError> {
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
    fields.text("message", 8_000);
    fields.optional_text("company", 200);
    fields.optional_text("source", 200);
    fields.optional_text("locale", 35);
    fields.optional_text("routing_key", 100);
    fields.object("metadata", 16 * 1024);
    fields.finish()
}

fn time(at: Option<prost_types::Timestamp>) -> Result<Timestamp, ApiError> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .ok_or_else(|| ApiError::internal("the admin service sent no time"))
}
