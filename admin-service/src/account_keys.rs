//! Account keys: made, listed and revoked by operators; what a tenant's developers prove themselves with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use shared::{
    TenantId,
    fields::Fields,
    time::{from_unix_ms, now},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{
        account_key::{Ability, AccountKey, MOST_ACCOUNT_KEYS, NewAccountKey},
        audit::{Action, AuditEntry, Caller},
        credentials::AccountKeySecret,
        tenant::TenantStatus,
    },
    errors::UseCaseError,
    store::{AccountKeyStore, StoreError},
};

/// How often it is written when keys were last used: seldom, for a call must not wait for it.
const NOTE_EVERY: Duration = Duration::from_secs(10);

const MINUTE_MS: i64 = 60_000;

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
    /// Uses that are not written yet.
    used: Arc<Mutex<HashMap<Uuid, Timestamp>>>,
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
    ) -> Result<(AccountKey, AccountKeySecret), UseCaseError> {
        let now = now();
        let NewAccountKey { name, abilities, expires_at } =
            NewAccountKey::read(fields, now).map_err(UseCaseError::Invalid)?;
        let secret = AccountKeySecret::generate();
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
        let audit = AuditEntry::new(tenant_id, caller, Action::CreateAccountKey, [format!("account_key:{}", key.id)]);
        match self.store.create_account_key(key.clone(), secret.digest(), MOST_ACCOUNT_KEYS, audit).await {
            Err(StoreError::Full) => Err(UseCaseError::LimitReached {
                what: "account keys for a tenant that are not revoked",
                most: MOST_ACCOUNT_KEYS,
            }),
            made => Ok(made.map(|()| (key, secret))?),
        }
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
        let audit = AuditEntry::new(tenant_id, caller, Action::RevokeAccountKey, [format!("account_key:{id}")]);
        self.store.revoke_account_key(tenant_id, id, audit).await?.ok_or(UseCaseError::AccountKeyNotFound)
    }

    /// Whom a key stands for, where it is valid and may do what `needed` names. It is read from the database every time, so
    /// one that was revoked opens nothing at any replica.
    pub(crate) async fn authenticate(
        &self,
        text: Option<&str>,
        needed: Ability,
        request_id: String,
    ) -> Result<Principal, UseCaseError> {
        let secret = text.and_then(AccountKeySecret::read).ok_or(UseCaseError::InvalidAccountKey)?;
        let found = self.store.find_account_key(secret.digest()).await?;
        let now = now();
        let (key, status) = found.filter(|(key, _)| key.is_valid(now)).ok_or(UseCaseError::InvalidAccountKey)?;
        self.used().insert(key.id, from_unix_ms(now.as_millisecond() / MINUTE_MS * MINUTE_MS));
        if status == TenantStatus::Suspended {
            return Err(UseCaseError::TenantSuspended);
        }
        if !key.allows(needed) {
            return Err(UseCaseError::MissingAbility(needed));
        }
        let caller = Caller { actor: format!("account_key:{}", key.id), request_id };
        Ok(Principal { account_key: key.id, tenant_id: key.tenant_id, caller })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Uuid, Timestamp>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes when keys were last used, from time to time until the service stops.
    pub(crate) async fn note_uses(&self, stopping: CancellationToken) {
        while tokio::time::timeout(NOTE_EVERY, stopping.cancelled()).await.is_err() {
            self.write_uses().await;
        }
    }

    /// Writes when keys were last used. Once more when no call is in flight any more.
    pub(crate) async fn write_uses(&self) {
        let mut used: Vec<(Uuid, Timestamp)> = self.used().drain().collect();
        // In one order at every replica, so that two that write at once do not wait for each other.
        used.sort_unstable_by_key(|(id, _)| *id);
        if !used.is_empty()
            && let Err(error) = self.store.account_keys_used(&used).await
        {
            tracing::warn!(%error, "it was not written when account keys were last used");
        }
    }
}
