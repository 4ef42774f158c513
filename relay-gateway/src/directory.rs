//! The port to what is known of tenants. *Unknown* is an answer; *unavailable* is an error, and never becomes a 401.

use std::sync::Arc;

use shared::{ApiError, TenantId, request_id::RequestId};

use crate::domain::tenant::TenantState;

mod grpc;

pub(crate) use grpc::GrpcDirectory;

/// Knows tenants.
pub(crate) trait TenantDirectory: Send + Sync + 'static {
    /// The tenant's state, true at some moment after the call began; `None` where there is no such tenant.
    ///
    /// # Errors
    /// [`shared::ErrorCode::DirectoryUnavailable`] where nothing trustworthy is known.
    fn lookup(
        &self,
        id: TenantId,
        request_id: &RequestId,
    ) -> impl Future<Output = Result<Option<Arc<TenantState>>, ApiError>> + Send;
}
