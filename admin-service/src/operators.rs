//! A tenant's operators: provisioned and revoked by the tenant itself, through a gateway that verified it.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use wire::{TenantId, time::now};

use crate::{
    domain::{
        audit::{Action, AuditEntry, Caller},
        operator::{Email, Operator, OperatorName, OperatorProfile},
        tenant::Tenant,
    },
    errors::UseCaseError,
    propagation::Propagation,
    store::{OperatorStore, Page},
    tokens::{SignedToken, Tokens},
};

/// How long an operator works with refreshed tokens, until the tenant's backend must vouch again.
const SHIFT: SignedDuration = SignedDuration::from_hours(12);

#[derive(Clone)]
pub(crate) struct Operators {
    store: Arc<dyn OperatorStore>,
    tokens: Tokens,
    propagation: Propagation,
}

/// The claims of the token that is to be refreshed.
pub(crate) struct OldToken {
    pub(crate) operator_id: Uuid,
    pub(crate) membership_version: u64,
    pub(crate) token_generation: u64,
    /// When the first token of the chain was issued.
    pub(crate) first_issued_at: Timestamp,
}

impl Operators {
    pub(crate) fn new(store: Arc<dyn OperatorStore>, tokens: Tokens, propagation: Propagation) -> Self {
        Self { store, tokens, propagation }
    }

    /// Creates the operator, or refreshes the one with this email, and waits up to `wait` until that is true on every gateway. Answers
    /// the operator, whether it was created, and whether it is true everywhere.
    pub(crate) async fn provision(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        profile: OperatorProfile,
        wait: Option<Duration>,
    ) -> Result<(Operator, bool, bool), UseCaseError> {
        let audit = AuditEntry::new(tenant_id, caller, Action::ProvisionOperator, ["operator"]);
        let store = Arc::clone(&self.store);
        let change = async move { store.upsert_operator(tenant_id, &profile, audit).await };
        let ((operator, created), is_everywhere) = self.propagation.commit_within(change, wait).await?;
        Ok((operator, created, is_everywhere))
    }

    /// Revokes an operator, and waits as [`Operators::provision`] does.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        name: OperatorName,
        wait: Option<Duration>,
    ) -> Result<(Operator, bool), UseCaseError> {
        let audit = AuditEntry::new(tenant_id, caller, Action::RevokeOperator, ["operator"]);
        let store = Arc::clone(&self.store);
        let change = async move { store.revoke_operator(tenant_id, &name, audit).await };
        Ok(self.propagation.commit_within(change, wait).await?)
    }

    /// Issues a token for an operator. A revoked operator gets none.
    pub(crate) async fn issue_token(
        &self,
        tenant: &Tenant,
        email: Email,
    ) -> Result<(Operator, SignedToken), UseCaseError> {
        let operator = self.store.find_operator(tenant.id, &OperatorName::Email(email)).await?;
        let operator = operator.filter(|operator| operator.revoked_at.is_none());
        let operator = operator.ok_or(UseCaseError::OperatorNotFound)?;
        let token = self.tokens.for_operator(tenant, &operator, None).await?;
        Ok((operator, token))
    }

    /// Another token by an older one, as long as its membership stands and the tenant has vouched within [`SHIFT`].
    pub(crate) async fn refresh_token(
        &self,
        tenant: &Tenant,
        old: OldToken,
    ) -> Result<(Operator, SignedToken), UseCaseError> {
        let operator = self.store.find_operator(tenant.id, &OperatorName::Id(old.operator_id)).await?;
        let operator = operator.ok_or(UseCaseError::OperatorTokenSuperseded)?;
        let is_over = operator.version != old.membership_version
            || operator.revoked_at.is_some()
            || old.token_generation < tenant.token_generation;
        let shift_ends = old.first_issued_at.saturating_add(SHIFT).unwrap_or(Timestamp::MIN);
        if is_over || shift_ends <= now() {
            return Err(UseCaseError::OperatorTokenSuperseded);
        }
        let token = self.tokens.for_operator(tenant, &operator, Some((old.first_issued_at, shift_ends))).await?;
        Ok((operator, token))
    }

    /// An operator by its id, revoked or not.
    pub(crate) async fn membership(&self, tenant_id: TenantId, id: Uuid) -> Result<Option<Operator>, UseCaseError> {
        Ok(self.store.find_operator(tenant_id, &OperatorName::Id(id)).await?)
    }

    /// A page of operators, newest first, and how many are active.
    pub(crate) async fn list(
        &self,
        tenant_id: TenantId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<(Page<Operator>, u64), UseCaseError> {
        Ok(self.store.operators(tenant_id, after, limit).await?)
    }
}
