//! `TenantDirectory`: what gateways ask.

use proto::directory::v1::{
    GetOperatorRequest, GetOperatorResponse, GetTenantInfoRequest, GetTenantRequest, GetTenantResponse,
    GetWidgetRequest, GetWidgetResponse, NotePreviousUsesRequest, NotePreviousUsesResponse, TenantInfo, WatchRequest,
    tenant_directory_server::TenantDirectory,
};
use service::ApiError;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{convert, edge::logged, metadata::request_id, watch};
use crate::{
    directory::Directory,
    domain::access::{AccessEntry, AccessKind},
    logs::Logs,
    operators::Operators,
    propagation::Propagation,
    store::AtRevision,
    tenants::Tenants,
    visitors::Visitors,
};

/// Uses of previous secrets in one message.
const MOST_USES: usize = 1000;
/// What is kept of a gateway's name.
const GATEWAY_NAME_CHARS: usize = 100;

pub(super) struct DirectoryService {
    directory: Directory,
    tenants: Tenants,
    visitors: Visitors,
    operators: Operators,
    propagation: Propagation,
    logs: Logs,
}

impl DirectoryService {
    pub(super) fn new(
        directory: Directory,
        tenants: Tenants,
        visitors: Visitors,
        operators: Operators,
        propagation: Propagation,
        logs: Logs,
    ) -> Self {
        Self { directory, tenants, visitors, operators, propagation, logs }
    }
}

#[tonic::async_trait]
impl TenantDirectory for DirectoryService {
    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<GetTenantResponse>, Status> {
        let (address, request_id) =
            (request.remote_addr().map(|address| address.ip()), request_id(request.metadata().as_ref()));
        let id = convert::tenant_id_from_bytes(&request.into_inner().tenant_id)?;
        let AtRevision { value, revision } = self.directory.tenant(id).await.map_err(logged)?;
        if value.is_some() {
            let kind = AccessKind::ReadSecret;
            let entry = AccessEntry { kind, tenant_id: Some(id), actor: "gateway", subject: String::new(), address };
            self.logs.note(entry, &request_id);
        }
        Ok(Response::new(GetTenantResponse { tenant: value.map(convert::state), revision }))
    }

    async fn get_widget(&self, request: Request<GetWidgetRequest>) -> Result<Response<GetWidgetResponse>, Status> {
        let GetWidgetRequest { tenant_id, widget_public_key } = request.into_inner();
        let id = convert::tenant_id_from_bytes(&tenant_id)?;
        let access = self.visitors.widget_access(id, &widget_public_key).await.map_err(logged)?;
        Ok(Response::new(access.map_or_else(GetWidgetResponse::default, convert::widget)))
    }

    async fn get_operator(
        &self,
        request: Request<GetOperatorRequest>,
    ) -> Result<Response<GetOperatorResponse>, Status> {
        let GetOperatorRequest { tenant_id, operator_id } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let id =
            Uuid::from_slice(&operator_id).map_err(|_| ApiError::field("operator_id", "must be a UUID's 16 bytes"))?;
        let membership = self.operators.membership(tenant_id, id).await.map_err(logged)?;
        Ok(Response::new(GetOperatorResponse { membership: membership.map(convert::membership) }))
    }

    async fn get_tenant_info(&self, request: Request<GetTenantInfoRequest>) -> Result<Response<TenantInfo>, Status> {
        let id = convert::tenant_id_from_bytes(&request.into_inner().tenant_id)?;
        Ok(Response::new(convert::info(self.tenants.fetch(id).await.map_err(logged)?)))
    }

    async fn note_previous_uses(
        &self,
        request: Request<NotePreviousUsesRequest>,
    ) -> Result<Response<NotePreviousUsesResponse>, Status> {
        let NotePreviousUsesRequest { gateway, uses } = request.into_inner();
        if uses.len() > MOST_USES {
            return Err(ApiError::field("uses", format!("must be at most {MOST_USES}")).into());
        }
        let name: String = gateway.chars().filter(|char| !char.is_control()).take(GATEWAY_NAME_CHARS).collect();
        let uses = uses.into_iter().map(convert::previous_use).collect::<Result<Vec<_>, _>>()?;
        self.tenants.note_previous_uses(&name, &uses).await.map_err(logged)?;
        Ok(Response::new(NotePreviousUsesResponse {}))
    }

    type WatchStream = watch::Answers;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<watch::Answers>, Status> {
        Ok(Response::new(watch::serve(self.propagation.clone(), request.into_inner())))
    }
}
