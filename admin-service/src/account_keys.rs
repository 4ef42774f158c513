//! Account keys: made, listed and revoked by operators; what a tenant's developers prove themselves with.

use std::sync::Arc;

use uuid::Uuid;
use wire::fields::Fields;
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use crate::{
    domain::{
        account_key::{Ability, AccountKey, MOST_ACCOUNT_KEYS, NewAccountKey},
        audit::{Action, AuditEntry, Caller, Subject},
        credentials::{KeyKind, KeySecret},
        tenant::TenantStatus,
    },
    errors::UseCaseError,
    last_used::LastUsed,
    store::AccountKeyStore,
};

/// Who a valid account key stands for.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) account_key: Uuid,
    pub(crate) tenant_id: TenantId,
    /// For the audit log.
    pub(crate) caller: Caller,
}

#[derive(Clone)]
pub(crate) struct AccountKeys {
    store: Arc<dyn AccountKeyStore>,
    used: Arc<LastUsed>,
}

impl AccountKeys {
    pub(crate) fn new(store: Arc<dyn AccountKeyStore>) -> Self {
        Self { store, used: Arc::default() }
    }

    /// Answers the key's text, which is shown once.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        fields: Fields,
    ) -> Result<(AccountKey, KeySecret), UseCaseError> {
        let now = now();
        let NewAccountKey { name, abilities, expires_at } =
            NewAccountKey::read(fields, now).map_err(UseCaseError::invalid)?;
        let secret = KeySecret::generate(KeyKind::Account);
        let key = AccountKey {
            id: Uuid::now_v7(),
            tenant_id,
            name,
            abilities,
            hint: secret.hint().to_owned(),
            created_at: now,
            // As the database keeps it.
            expires_at: expires_at.map(|at| from_unix_ms(at.as_millisecond())),
            revoked_at: None,
            last_used_at: None,
        };
        let fields = ["name", "abilities"].into_iter().chain(key.expires_at.map(|_| "expires_at"));
        let audit = AuditEntry::new(tenant_id, caller, Action::CreateAccountKey, fields);
        let audit = audit.about(Subject::AccountKey(key.id));
        self.store.create_account_key(key.clone(), secret.digest(), MOST_ACCOUNT_KEYS, audit).await?;
        Ok((key, secret))
    }

    /// A tenant's keys, newest first, revoked ones included.
    pub(crate) async fn list(&self, tenant_id: TenantId) -> Result<Vec<AccountKey>, UseCaseError> {
        self.store.account_keys(tenant_id).await?.ok_or(UseCaseError::TenantNotFound)
    }

    /// From now on the key opens nothing. Revoking it again changes nothing.
    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        id: Uuid,
    ) -> Result<AccountKey, UseCaseError> {
        let audit = AuditEntry::new(tenant_id, caller, Action::RevokeAccountKey, ["revoked_at"]);
        Ok(self.store.revoke_account_key(tenant_id, id, audit.about(Subject::AccountKey(id))).await?)
    }

    /// The tenant and caller that a key stands for, where it is valid and has one of the abilities in `needed`. It is read from the
    /// database every time, so one that was revoked opens nothing at any replica.
    pub(crate) async fn authenticate(
        &self,
        text: Option<&str>,
        needed: &[Ability],
        request_id: String,
    ) -> Result<Principal, UseCaseError> {
        let text = text.ok_or(UseCaseError::NoAccountKey)?;
        let secret = KeySecret::read(KeyKind::Account, text).ok_or(UseCaseError::InvalidAccountKey)?;
        let found = self.store.find_account_key(secret.digest()).await?;
        let now = now();
        let (key, status) = found.filter(|(key, _)| key.is_valid(now)).ok_or(UseCaseError::InvalidAccountKey)?;
        self.used.note(key.id, now);
        if status == TenantStatus::Suspended {
            return Err(UseCaseError::TenantSuspended);
        }
        if !needed.iter().any(|needed| key.allows(*needed)) {
            return Err(UseCaseError::MissingAbility(needed.first().copied().unwrap_or(Ability::All)));
        }
        let caller = Caller { actor: format!("account_key:{}", key.id), request_id, admin_key: None };
        Ok(Principal { account_key: key.id, tenant_id: key.tenant_id, caller })
    }

    /// Writes when keys were last used.
    pub(crate) async fn write_uses(&self) {
        self.used.write("account keys", async |used| self.store.account_keys_used(used).await).await;
    }
}
