//! The port to operators.

use async_trait::async_trait;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{
        audit::AuditEntry,
        operator::{Operator, OperatorName, OperatorProfile},
    },
    store::{error::StoreError, page::Page, revision::AtRevision},
};

/// Operators, always of a tenant.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// Creates the operator, or refreshes the one with this email; answers whether it was created. Writes `audit` as
    /// [`crate::domain::audit::Action::ChangeOperator`] where gateways know something else of the operator now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant, [`StoreError::Full`] where it has no seat for another.
    async fn upsert_operator(
        &self,
        tenant_id: TenantId,
        profile: &OperatorProfile,
        audit: AuditEntry,
    ) -> Result<AtRevision<(Operator, bool)>, StoreError>;

    /// Revokes an operator's membership. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is no such tenant or operator.
    async fn revoke_operator(
        &self,
        tenant_id: TenantId,
        name: &OperatorName,
        audit: AuditEntry,
    ) -> Result<AtRevision<Operator>, StoreError>;

    /// An operator, revoked or not.
    async fn find_operator(&self, tenant_id: TenantId, name: &OperatorName) -> Result<Option<Operator>, StoreError>;

    /// A page of operators, newest first, revoked ones included; and how many are active.
    async fn operators(
        &self,
        tenant_id: TenantId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<(Page<Operator>, u64), StoreError>;
}
