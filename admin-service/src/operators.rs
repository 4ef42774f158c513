//! A tenant's operators: provisioned by the tenant itself, through a gateway that verified it.

use std::sync::Arc;

use uuid::Uuid;
use wire::{TenantId, time::now};

use crate::{
    domain::{
        audit::{Action, AuditEntry, Caller},
        operator::{Email, Operator, OperatorProfile},
    },
    errors::UseCaseError,
    store::OperatorStore,
};

#[derive(Clone)]
pub(crate) struct Operators {
    store: Arc<dyn OperatorStore>,
}

impl Operators {
    pub(crate) fn new(store: Arc<dyn OperatorStore>) -> Self {
        Self { store }
    }

    /// Creates the operator, or refreshes the one with this email; answers whether it was created.
    pub(crate) async fn provision(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        profile: &OperatorProfile,
    ) -> Result<(Operator, bool), UseCaseError> {
        let now = now();
        let merge = |existing: Option<&Operator>| Operator {
            id: existing.map_or_else(Uuid::now_v7, |existing| existing.id),
            tenant_id,
            email: profile.email.clone(),
            display_name: profile.display_name.clone(),
            routing_keys: profile
                .routing_keys
                .clone()
                .or_else(|| existing.map(|existing| existing.routing_keys.clone()))
                .unwrap_or_default(),
            avatar_url: profile
                .avatar_url
                .clone()
                .or_else(|| existing.and_then(|existing| existing.avatar_url.clone())),
            created_at: existing.map_or(now, |existing| existing.created_at),
            updated_at: now,
        };
        let audit = AuditEntry::new(tenant_id, caller, Action::ProvisionOperator, ["operator"]);
        Ok(self.store.upsert_operator(tenant_id, &profile.email, &merge, audit).await?)
    }

    pub(crate) async fn find(&self, tenant_id: TenantId, email: &Email) -> Result<Operator, UseCaseError> {
        self.store.find_operator(tenant_id, email).await?.ok_or(UseCaseError::OperatorNotFound)
    }
}
