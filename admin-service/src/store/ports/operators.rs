//! The port to operators.

use async_trait::async_trait;
use wire::TenantId;

use crate::{
    domain::{
        audit::AuditEntry,
        operator::{Email, Operator},
    },
    store::error::StoreError,
};

/// Operators, always of a tenant.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// Creates the operator, or refreshes the one with this email. `merge` makes the row to write from the one that
    /// is there. Answers whether it was created.
    async fn upsert_operator(
        &self,
        tenant_id: TenantId,
        email: &Email,
        merge: &(dyn for<'a> Fn(Option<&'a Operator>) -> Operator + Send + Sync),
        audit: AuditEntry,
    ) -> Result<(Operator, bool), StoreError>;

    /// The operator with this email.
    async fn find_operator(&self, tenant_id: TenantId, email: &Email) -> Result<Option<Operator>, StoreError>;
}
