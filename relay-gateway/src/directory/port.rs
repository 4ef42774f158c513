//! The port to what is known of tenants. *Unknown* is an answer; *unavailable* is an error, and never becomes a 401.

use std::sync::Arc;

use coherence::Revision;
use service::ApiError;
use uuid::Uuid;
use wire::{ErrorCode, TenantId, request_id::RequestId};

use crate::domain::{operator::Membership, tenant::TenantState, widget_access::WidgetAccess};

/// What is known of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// `None` where there is no such tenant.
    pub(crate) tenant: Option<Arc<TenantState>>,
    /// The directory's revision that was true at.
    pub(crate) revision: Revision,
}

/// What a caller is told where nothing trustworthy is known, whatever the trouble is.
pub(crate) fn unavailable(cause: impl ToString) -> ApiError {
    ApiError::new(
        ErrorCode::DirectoryUnavailable,
        "The relay cannot check this tenant right now. Nothing was forwarded: send the call again, signed anew.",
    )
    .retry_after_seconds(1)
    .caused_by(cause)
}

/// Knows tenants.
pub(crate) trait TenantDirectory: Send + Sync + 'static {
    /// Whether earlier answers may still be used. While it is true, a change is acknowledged only after the listeners have applied it.
    /// If it is false, ask again.
    fn still_current(&self) -> bool {
        false
    }

    /// Whether it was ever able to follow changes.
    fn has_followed(&self) -> bool {
        false
    }

    /// What is known of a tenant without a request to the admin service, where it may be used.
    fn cached(&self, _id: TenantId) -> Option<Known> {
        None
    }

    /// Whether it is known, without a request to the admin service, what a tenant's widget key allows.
    fn has_widget_access(&self, _tenant: &TenantState, _widget_key: &str) -> bool {
        false
    }

    /// The tenant's state, true at some moment after the call began.
    ///
    /// # Errors
    /// [`wire::ErrorCode::DirectoryUnavailable`] where nothing trustworthy is known.
    fn lookup(&self, id: TenantId, request_id: &RequestId) -> impl Future<Output = Result<Known, ApiError>> + Send;

    /// What a widget key of a tenant allows; with an empty key, what any page of the tenant's origins may see. It is as true as
    /// what is known of the tenant: look the tenant up first.
    ///
    /// # Errors
    /// As above.
    fn widget_access(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        request_id: &RequestId,
    ) -> impl Future<Output = Result<Arc<WidgetAccess>, ApiError>> + Send;

    /// An operator's membership in a tenant; `None` where the tenant has no such operator. It is as true as what is known of the tenant:
    /// look the tenant up first.
    ///
    /// # Errors
    /// As above.
    fn membership(
        &self,
        tenant: &TenantState,
        operator_id: Uuid,
        request_id: &RequestId,
    ) -> impl Future<Output = Result<Option<Arc<Membership>>, ApiError>> + Send;
}
