//! `TenantAdmin`: the tenant lifecycle for internal services.

use std::time::Duration;

use proto::admin::v1::{
    ChangedTenant, ListAuditLogRequest, ListAuditLogResponse, ListTenantsRequest, ListTenantsResponse,
    ProvisionTenantRequest, ProvisionTenantResponse, RotateTenantSecretRequest, RotateTenantSecretResponse,
    RotateWidgetKeyResponse, Tenant, TenantRequest, UpdateTenantRequest, tenant_admin_server::TenantAdmin,
};
use secrecy::ExposeSecret as _;
use service::ApiError;
use tonic::{Request, Response, Status};

use super::{convert, edge::logged};
use crate::{
    domain::audit::Caller,
    logs::Logs,
    paging,
    propagation::Changed,
    store::PageStart,
    tenants::{MOST_OVERLAP_S, Tenants},
};

pub(super) struct AdminService {
    tenants: Tenants,
    logs: Logs,
}

impl AdminService {
    pub(super) fn new(tenants: Tenants, logs: Logs) -> Self {
        Self { tenants, logs }
    }
}

/// The caller the key check put there.
fn caller<T>(request: &Request<T>) -> Result<Caller, ApiError> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| ApiError::internal("TenantAdmin without its key check"))
}

fn after<P: paging::Key>(text: &str) -> Result<Option<P>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    paging::read_cursor(text).map(Some).map_err(|wrong| ApiError::field("cursor", wrong))
}

#[tonic::async_trait]
impl TenantAdmin for AdminService {
    async fn provision_tenant(
        &self,
        request: Request<ProvisionTenantRequest>,
    ) -> Result<Response<ProvisionTenantResponse>, Status> {
        let caller = caller(&request)?;
        let fields = convert::set_fields(request.into_inner().settings.unwrap_or_default());
        let (tenant, secret) = self.tenants.provision(&caller, &fields).await.map_err(logged)?;
        Ok(Response::new(ProvisionTenantResponse {
            tenant: Some(convert::tenant(tenant)),
            tenant_secret: secret.expose().to_owned(),
            webhook_secret: secret.to_webhook_secret().expose_secret().to_owned(),
        }))
    }

    async fn update_tenant(&self, request: Request<UpdateTenantRequest>) -> Result<Response<ChangedTenant>, Status> {
        let caller = caller(&request)?;
        let UpdateTenantRequest { tenant_id, settings, update_mask } = request.into_inner();
        let id = convert::tenant_id_from_text(&tenant_id)?;
        let fields = convert::masked_fields(settings.unwrap_or_default(), update_mask)?;
        let changed = self.tenants.update(&caller, id, &fields).await.map_err(logged)?;
        Ok(Response::new(convert::changed_tenant(changed)))
    }

    async fn rotate_tenant_secret(
        &self,
        request: Request<RotateTenantSecretRequest>,
    ) -> Result<Response<RotateTenantSecretResponse>, Status> {
        let caller = caller(&request)?;
        let RotateTenantSecretRequest { tenant_id, revoke_issued, grace_seconds } = request.into_inner();
        let id = convert::tenant_id_from_text(&tenant_id)?;
        if grace_seconds > MOST_OVERLAP_S {
            return Err(ApiError::field("grace_seconds", format!("must be at most {MOST_OVERLAP_S}")).into());
        }
        let overlap = Duration::from_secs(grace_seconds);
        let Changed { value: (secret, tenant), report } =
            self.tenants.rotate_secret(&caller, id, overlap, revoke_issued).await.map_err(logged)?;
        Ok(Response::new(RotateTenantSecretResponse {
            tenant_id: id.to_string(),
            tenant_secret: secret.expose().to_owned(),
            webhook_secret: secret.to_webhook_secret().expose_secret().to_owned(),
            rotated_at: Some(convert::timestamp(tenant.updated_at)),
            propagation: Some(convert::propagation(report)),
            previous_secret_expires_at: tenant.previous_secret.map(|previous| convert::timestamp(previous.expires_at)),
        }))
    }

    async fn revoke_previous_secret(&self, request: Request<TenantRequest>) -> Result<Response<ChangedTenant>, Status> {
        let caller = caller(&request)?;
        let id = convert::tenant_id_from_text(&request.into_inner().tenant_id)?;
        let changed = self.tenants.revoke_previous_secret(&caller, id).await.map_err(logged)?;
        Ok(Response::new(convert::changed_tenant(changed)))
    }

    async fn rotate_widget_key(
        &self,
        request: Request<TenantRequest>,
    ) -> Result<Response<RotateWidgetKeyResponse>, Status> {
        let caller = caller(&request)?;
        let id = convert::tenant_id_from_text(&request.into_inner().tenant_id)?;
        let Changed { value: (key, rotated_at), report } =
            self.tenants.rotate_widget_key(&caller, id).await.map_err(logged)?;
        Ok(Response::new(RotateWidgetKeyResponse {
            tenant_id: id.to_string(),
            widget_public_key: key.as_str().to_owned(),
            rotated_at: Some(convert::timestamp(rotated_at)),
            propagation: Some(convert::propagation(report)),
        }))
    }

    async fn suspend_tenant(&self, request: Request<TenantRequest>) -> Result<Response<ChangedTenant>, Status> {
        let caller = caller(&request)?;
        let id = convert::tenant_id_from_text(&request.into_inner().tenant_id)?;
        let changed = self.tenants.suspend(&caller, id).await.map_err(logged)?;
        Ok(Response::new(convert::changed_tenant(changed)))
    }

    async fn reactivate_tenant(&self, request: Request<TenantRequest>) -> Result<Response<ChangedTenant>, Status> {
        let caller = caller(&request)?;
        let id = convert::tenant_id_from_text(&request.into_inner().tenant_id)?;
        let changed = self.tenants.reactivate(&caller, id).await.map_err(logged)?;
        Ok(Response::new(convert::changed_tenant(changed)))
    }

    async fn get_tenant(&self, request: Request<TenantRequest>) -> Result<Response<Tenant>, Status> {
        let id = convert::tenant_id_from_text(&request.into_inner().tenant_id)?;
        Ok(Response::new(convert::tenant(self.tenants.fetch(id).await.map_err(logged)?)))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let ListTenantsRequest { limit, cursor: from } = request.into_inner();
        let start = after(&from)?.map_or(PageStart::Offset(0), PageStart::After);
        let (page, total) = self.tenants.page(start, convert::limit(limit)?).await.map_err(logged)?;
        Ok(Response::new(ListTenantsResponse {
            items: page.items.into_iter().map(convert::tenant).collect(),
            total,
            next_cursor: page.next.map(paging::write_cursor).unwrap_or_default(),
        }))
    }

    async fn list_audit_log(
        &self,
        request: Request<ListAuditLogRequest>,
    ) -> Result<Response<ListAuditLogResponse>, Status> {
        let ListAuditLogRequest { tenant_id, limit, cursor: from } = request.into_inner();
        let tenant_id = if tenant_id.is_empty() { None } else { Some(convert::tenant_id_from_text(&tenant_id)?) };
        let page = self.logs.audit(tenant_id, after(&from)?, convert::limit(limit)?).await.map_err(logged)?;
        Ok(Response::new(ListAuditLogResponse {
            items: page.items.into_iter().map(convert::audit_entry).collect(),
            next_cursor: page.next.map(paging::write_cursor).unwrap_or_default(),
        }))
    }
}
