//! `TenantDirectory`: what gateways ask.

use proto::directory::v1::{
    GetTenantInfoRequest, GetTenantRequest, GetTenantResponse, ResolveWidgetKeyRequest, ResolveWidgetKeyResponse,
    TenantInfo, WatchRequest, tenant_directory_server::TenantDirectory,
};
use tonic::{Request, Response, Status, Streaming};

use super::{convert, edge::logged, watch};
use crate::{directory::Directory, propagation::Propagation, store::AtRevision, tenants::Tenants};

pub(super) struct DirectoryService {
    directory: Directory,
    tenants: Tenants,
    propagation: Propagation,
}

impl DirectoryService {
    pub(super) fn new(directory: Directory, tenants: Tenants, propagation: Propagation) -> Self {
        Self { directory, tenants, propagation }
    }
}

#[tonic::async_trait]
impl TenantDirectory for DirectoryService {
    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<GetTenantResponse>, Status> {
        let id = convert::tenant_id_from_bytes(&request.into_inner().tenant_id)?;
        let AtRevision { value, revision } = self.directory.tenant(id).await.map_err(logged)?;
        Ok(Response::new(GetTenantResponse { tenant: value.map(convert::state), revision }))
    }

    async fn resolve_widget_key(
        &self,
        request: Request<ResolveWidgetKeyRequest>,
    ) -> Result<Response<ResolveWidgetKeyResponse>, Status> {
        let key = request.into_inner().widget_public_key;
        let AtRevision { value, revision } = self.directory.widget_key(&key).await.map_err(logged)?;
        let tenant_id = value.map(|id| id.as_uuid().as_bytes().to_vec());
        Ok(Response::new(ResolveWidgetKeyResponse { tenant_id, revision }))
    }

    async fn get_tenant_info(&self, request: Request<GetTenantInfoRequest>) -> Result<Response<TenantInfo>, Status> {
        let id = convert::tenant_id_from_bytes(&request.into_inner().tenant_id)?;
        Ok(Response::new(convert::info(self.tenants.fetch(id).await.map_err(logged)?)))
    }

    type WatchStream = watch::Answers;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<watch::Answers>, Status> {
        Ok(Response::new(watch::serve(self.propagation.clone(), request.into_inner())))
    }
}
