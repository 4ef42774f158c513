//! `Identity`: operators and tokens, for a tenant whose signature a gateway has verified.

use std::{net::IpAddr, time::Duration};

use proto::identity::v1::{
    GetSigningKeysRequest, GetSigningKeysResponse, IssueOperatorTokenRequest, IssueOperatorTokenResponse,
    ListOperatorsRequest, ListOperatorsResponse, MintVisitorTokenRequest, MintVisitorTokenResponse,
    ProvisionOperatorRequest, ProvisionOperatorResponse, RefreshOperatorTokenRequest, RevokeOperatorRequest,
    RevokeOperatorResponse, identity_server::Identity, revoke_operator_request,
};
use service::ApiError;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use wire::{FieldError, TenantId};

use super::{convert, edge::logged, metadata::request_id};
use crate::{
    domain::{
        access::{AccessEntry, AccessKind},
        audit::Caller,
        operator::{Email, Operator, OperatorName, OperatorProfile},
        tenant::{Tenant, TenantStatus},
    },
    errors::UseCaseError,
    logs::Logs,
    operators::{OldToken, Operators},
    paging,
    signing_keys::SigningKeys,
    tenants::Tenants,
    tokens::{SignedToken, Tokens},
};

pub(super) struct IdentityService {
    tenants: Tenants,
    operators: Operators,
    keys: SigningKeys,
    tokens: Tokens,
    logs: Logs,
}

impl IdentityService {
    pub(super) fn new(tenants: Tenants, operators: Operators, keys: SigningKeys, tokens: Tokens, logs: Logs) -> Self {
        Self { tenants, operators, keys, tokens, logs }
    }

    /// Notes a token that was issued to `subject`, on behalf of the tenant's backend, through the gateway at `address`.
    fn issued(&self, kind: AccessKind, tenant_id: TenantId, subject: &str, token: &SignedToken, asked: &Asked) {
        let subject = format!("{subject} jti:{}", token.id);
        let entry = AccessEntry { kind, tenant_id: Some(tenant_id), actor: "tenant", subject, address: asked.address };
        self.logs.note(entry, &asked.request_id);
    }

    /// Answers a token that was issued to an operator.
    fn operator_token(
        &self,
        tenant_id: TenantId,
        (operator, signed): (Operator, SignedToken),
        asked: &Asked,
    ) -> IssueOperatorTokenResponse {
        let subject = format!("operator:{}", operator.id);
        self.issued(AccessKind::IssueOperatorToken, tenant_id, &subject, &signed, asked);
        IssueOperatorTokenResponse {
            operator: Some(convert::operator(operator)),
            token: signed.token,
            expires_at: Some(convert::timestamp(signed.expires_at)),
        }
    }

    /// The gateway has checked the tenant; what is handed out here outlives that check, so it is checked once more.
    async fn active(&self, tenant_id: &[u8]) -> Result<Tenant, Status> {
        let id = convert::tenant_id_from_bytes(tenant_id)?;
        let tenant = self.tenants.fetch(id).await.map_err(logged)?;
        match tenant.status {
            TenantStatus::Active => Ok(tenant),
            TenantStatus::Suspended => Err(logged(UseCaseError::TenantSuspended)),
        }
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn provision_operator(
        &self,
        request: Request<ProvisionOperatorRequest>,
    ) -> Result<Response<ProvisionOperatorResponse>, Status> {
        let caller =
            Caller { actor: "tenant".to_owned(), request_id: request_id(request.metadata().as_ref()), admin_key: None };
        let request = request.into_inner();
        let profile = OperatorProfile::check(
            &request.email,
            request.display_name,
            request.routing_keys.map(|keys| keys.items),
            request.avatar_url,
        )
        .map_err(ApiError::validation)?;
        let tenant_id = self.active(&request.tenant_id).await?.id;
        let wait = convert::wait(request.wait_ms);
        let provisioned = self.operators.provision(&caller, tenant_id, profile, wait).await;
        let (operator, created, is_everywhere) = provisioned.map_err(logged)?;
        Ok(Response::new(ProvisionOperatorResponse {
            operator: Some(convert::operator(operator)),
            created,
            is_everywhere: Some(is_everywhere),
        }))
    }

    async fn issue_operator_token(
        &self,
        request: Request<IssueOperatorTokenRequest>,
    ) -> Result<Response<IssueOperatorTokenResponse>, Status> {
        let asked = Asked::of(&request);
        let request = request.into_inner();
        let email = Email::parse(&request.email).map_err(|error| ApiError::validation(vec![error]))?;
        let tenant = self.active(&request.tenant_id).await?;
        let tenant = as_verified(tenant, request.token_generation);
        let issued = self.operators.issue_token(&tenant, email).await.map_err(logged)?;
        Ok(Response::new(self.operator_token(tenant.id, issued, &asked)))
    }

    async fn refresh_operator_token(
        &self,
        request: Request<RefreshOperatorTokenRequest>,
    ) -> Result<Response<IssueOperatorTokenResponse>, Status> {
        let asked = Asked::of(&request);
        let request = request.into_inner();
        let first_issued_at = request.first_issued_at.and_then(convert::time);
        let old = OldToken {
            operator_id: operator_id(&request.operator_id)?,
            membership_version: request.membership_version,
            token_generation: request.token_generation,
            first_issued_at: first_issued_at.ok_or_else(|| ApiError::field("first_issued_at", "must be a time"))?,
        };
        let tenant = self.active(&request.tenant_id).await?;
        let issued = self.operators.refresh_token(&tenant, old).await.map_err(logged)?;
        Ok(Response::new(self.operator_token(tenant.id, issued, &asked)))
    }

    async fn revoke_operator(
        &self,
        request: Request<RevokeOperatorRequest>,
    ) -> Result<Response<RevokeOperatorResponse>, Status> {
        use revoke_operator_request::Operator as Named;
        let caller =
            Caller { actor: "tenant".to_owned(), request_id: request_id(request.metadata().as_ref()), admin_key: None };
        let RevokeOperatorRequest { tenant_id, operator, wait_ms } = request.into_inner();
        let name = match operator.ok_or_else(|| ApiError::field("operator", "is required"))? {
            Named::Email(email) => {
                OperatorName::Email(Email::parse(&email).map_err(|error| ApiError::validation(vec![error]))?)
            }
            Named::OperatorId(id) => OperatorName::Id(operator_id(&id)?),
        };
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let revoked = self.operators.revoke(&caller, tenant_id, name, convert::wait(wait_ms)).await;
        let (operator, is_everywhere) = revoked.map_err(logged)?;
        Ok(Response::new(RevokeOperatorResponse { operator: Some(convert::operator(operator)), is_everywhere }))
    }

    async fn list_operators(
        &self,
        request: Request<ListOperatorsRequest>,
    ) -> Result<Response<ListOperatorsResponse>, Status> {
        let ListOperatorsRequest { tenant_id, limit, cursor } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        if !paging::ROWS.contains(&u64::from(limit)) {
            return Err(ApiError::field("limit", "must be 1 to 500").into());
        }
        let after = (!cursor.is_empty()).then(|| paging::read_cursor::<Uuid>(&cursor)).transpose();
        let after = after.map_err(|wrong| ApiError::field("cursor", wrong))?;
        let seats = self.tenants.fetch(tenant_id).await.map_err(logged)?.settings.agent_seats;
        let (page, active) = self.operators.list(tenant_id, after, limit.into()).await.map_err(logged)?;
        Ok(Response::new(ListOperatorsResponse {
            operators: page.items.into_iter().map(convert::operator).collect(),
            next_cursor: page.next.map(paging::write_cursor).unwrap_or_default(),
            active,
            seats,
        }))
    }

    async fn mint_visitor_token(
        &self,
        request: Request<MintVisitorTokenRequest>,
    ) -> Result<Response<MintVisitorTokenResponse>, Status> {
        let asked = Asked::of(&request);
        let request = request.into_inner();
        let errors = refused_fields(&request);
        if !errors.is_empty() {
            return Err(ApiError::validation(errors).into());
        }
        let tenant = as_verified(self.active(&request.tenant_id).await?, request.token_generation);
        let ttl = Duration::from_secs(request.ttl_seconds.into());
        let hash = request.visitor_email_hash.as_deref();
        let signed = self.tokens.for_visitor(&tenant, &request.visitor_user_id, hash, ttl).await.map_err(logged)?;
        let subject = format!("visitor:{}", request.visitor_user_id);
        self.issued(AccessKind::MintVisitorToken, tenant.id, &subject, &signed, &asked);
        let expires_at = Some(convert::timestamp(signed.expires_at));
        Ok(Response::new(MintVisitorTokenResponse { token: signed.token, expires_at }))
    }

    async fn get_signing_keys(
        &self,
        _: Request<GetSigningKeysRequest>,
    ) -> Result<Response<GetSigningKeysResponse>, Status> {
        Ok(Response::new(GetSigningKeysResponse { jwks_json: self.keys.jwks().await.map_err(logged)? }))
    }
}

/// A text that is no operator's id names no operator.
fn operator_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| UseCaseError::OperatorNotFound.into())
}

/// Who asked, for the access log.
struct Asked {
    address: Option<IpAddr>,
    request_id: String,
}

impl Asked {
    fn of<T>(request: &Request<T>) -> Self {
        let address = request.remote_addr().map(|address| address.ip());
        Self { address, request_id: request_id(request.metadata().as_ref()) }
    }
}

/// The tenant of the generation that the gateway verified the call by. Where a rotation has ended that generation meanwhile, a
/// token of it opens nothing.
fn as_verified(tenant: Tenant, token_generation: Option<u64>) -> Tenant {
    Tenant { token_generation: token_generation.unwrap_or(tenant.token_generation), ..tenant }
}

fn refused_fields(request: &MintVisitorTokenRequest) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, message: &str| {
        errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    };
    let is_text = |text: &str| !text.trim().is_empty() && text.len() <= 255 && !text.contains(char::is_control);
    if !is_text(&request.visitor_user_id) {
        refuse("visitor_user_id", "must be 1 to 255 bytes without control characters");
    }
    if request.visitor_email_hash.as_deref().is_some_and(|hash| !is_text(hash)) {
        refuse("visitor_email_hash", "must be 1 to 255 bytes, such as sha256:<hex>");
    }
    if !(60..=86_400).contains(&request.ttl_seconds) {
        refuse("ttl_seconds", "must be 60 to 86400");
    }
    errors
}
