//! The directory, by asking the admin service every time: what it answers was true after the call began, so nothing
//! that was rotated or suspended before is ever let in.

use std::sync::Arc;

use service::ApiError;
use uuid::Uuid;
use wire::{TenantId, request_id::RequestId};

use super::port::{Known, TenantDirectory, unavailable};
use crate::{
    admin::AdminClient,
    domain::{operator::Membership, tenant::TenantState, widget_access::WidgetAccess},
};

/// Asks the admin service.
pub(crate) struct GrpcDirectory {
    admin: AdminClient,
}

impl GrpcDirectory {
    pub(crate) fn new(admin: AdminClient) -> Self {
        Self { admin }
    }
}

impl TenantDirectory for GrpcDirectory {
    async fn lookup(&self, id: TenantId, request_id: &RequestId) -> Result<Known, ApiError> {
        let answer = self.admin.tenant(id, request_id).await.map_err(|error| not_known(&error))?;
        Ok(Known { tenant: answer.tenant.map(Arc::new), revision: answer.revision })
    }

    async fn widget_access(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<Arc<WidgetAccess>, ApiError> {
        let access = self.admin.widget_access(tenant.id, widget_key, request_id).await;
        access.map(Arc::new).map_err(|error| not_known(&error))
    }

    async fn membership(
        &self,
        tenant: &TenantState,
        operator_id: Uuid,
        request_id: &RequestId,
    ) -> Result<Option<Arc<Membership>>, ApiError> {
        let membership = self.admin.membership(tenant.id, operator_id, request_id).await;
        membership.map(|found| found.map(Arc::new)).map_err(|error| not_known(&error))
    }
}

/// Whatever the admin service's trouble is, to a caller it means one thing.
fn not_known(error: &ApiError) -> ApiError {
    unavailable(error.cause().map_or_else(|| error.to_string(), str::to_owned))
}
