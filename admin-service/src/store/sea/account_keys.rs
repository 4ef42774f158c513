//! Account keys in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, PaginatorTrait as _, QueryOrder as _, prelude::*, sea_query::ExprTrait as _};
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use super::{SeaStore, Transaction, broken_row, commit, next_revision, note_last_used, translate};
use crate::{
    domain::{account_key::AccountKey, audit::AuditEntry, tenant::TenantStatus},
    store::{
        AccountKeyStore, StoreError,
        entity::{account_key, tenant},
        stored_time,
    },
};

impl TryFrom<account_key::Model> for AccountKey {
    type Error = StoreError;

    fn try_from(row: account_key::Model) -> Result<Self, StoreError> {
        let abilities: Vec<String> =
            serde_json::from_value(row.abilities).map_err(|error| broken_row("account_key.abilities", error))?;
        let abilities = abilities.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            name: row.name,
            abilities: abilities.map_err(|error| broken_row("account_key.abilities", error))?,
            hint: row.hint,
            created_at: from_unix_ms(row.created_at),
            expires_at: row.expires_at.map(from_unix_ms),
            revoked_at: row.revoked_at.map(from_unix_ms),
            last_used_at: row.last_used_at.map(from_unix_ms),
        })
    }
}

fn of(tenant_id: TenantId) -> Select<account_key::Entity> {
    account_key::Entity::find().filter(account_key::Column::TenantId.eq(tenant_id.as_uuid()))
}

/// Whether a key that asks for a change may still have it. Once the change has its revision, no revocation or suspension is
/// under way.
pub(super) async fn authorize(transaction: &Transaction, id: Uuid) -> Result<(), StoreError> {
    let row = account_key::Entity::find_by_id(id).one(transaction).await.map_err(translate)?;
    let Some(row) = row else { return Err(StoreError::Unauthorized) };
    let tenant = tenant::Entity::find_by_id(row.tenant_id).one(transaction).await.map_err(translate)?;
    let is_active = tenant.is_some_and(|tenant| tenant.status == TenantStatus::Active.as_str());
    if is_active && AccountKey::try_from(row)?.is_valid(now()) { Ok(()) } else { Err(StoreError::Unauthorized) }
}

#[async_trait]
impl AccountKeyStore for SeaStore {
    async fn create_account_key(
        &self,
        key: AccountKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        let transaction = self.begin_write().await?;
        // Also what makes two calls wait for each other: neither counts without the other.
        let revision = next_revision(&transaction, 0).await?;
        let tenant = tenant::Entity::find_by_id(key.tenant_id.as_uuid()).one(&transaction).await.map_err(translate)?;
        if tenant.is_none() {
            return Err(StoreError::NotFound);
        }
        let standing = of(key.tenant_id).filter(account_key::Column::RevokedAt.is_null()).filter(
            account_key::Column::ExpiresAt.is_null().or(account_key::Column::ExpiresAt.gt(stored_time(key.created_at))),
        );
        let count = standing.count(&transaction).await.map_err(translate)?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Full);
        }
        let abilities: Vec<&str> = key.abilities.iter().map(|ability| ability.as_str()).collect();
        let row = account_key::ActiveModel {
            id: Set(key.id),
            tenant_id: Set(key.tenant_id.as_uuid()),
            name: Set(key.name),
            digest: Set(digest.to_vec()),
            hint: Set(key.hint),
            abilities: Set(serde_json::json!(abilities)),
            created_at: Set(stored_time(key.created_at)),
            expires_at: Set(key.expires_at.map(stored_time)),
            revoked_at: Set(None),
            last_used_at: Set(None),
        };
        account_key::Entity::insert(row).exec_without_returning(&transaction).await.map_err(translate)?;
        self.write_audit(&transaction, audit, revision, key.created_at).await?;
        commit(transaction).await
    }

    async fn account_keys(&self, tenant_id: TenantId) -> Result<Option<Vec<AccountKey>>, StoreError> {
        let tenant = tenant::Entity::find_by_id(tenant_id.as_uuid()).one(&self.connection).await.map_err(translate)?;
        if tenant.is_none() {
            return Ok(None);
        }
        let newest_first = of(tenant_id).order_by_desc(account_key::Column::Id);
        let rows = newest_first.all(&self.connection).await.map_err(translate)?;
        rows.into_iter().map(AccountKey::try_from).collect::<Result<_, _>>().map(Some)
    }

    async fn revoke_account_key(
        &self,
        tenant_id: TenantId,
        id: Uuid,
        audit: AuditEntry,
    ) -> Result<Option<AccountKey>, StoreError> {
        let transaction = self.begin_write().await?;
        let revision = next_revision(&transaction, 0).await?;
        let found = of(tenant_id).filter(account_key::Column::Id.eq(id)).one(&transaction).await.map_err(translate)?;
        let Some(row) = found else { return Ok(None) };
        if row.revoked_at.is_some() {
            return row.try_into().map(Some);
        }
        let at = now();
        let revoked =
            account_key::ActiveModel { id: Set(id), revoked_at: Set(Some(stored_time(at))), ..Default::default() };
        let row = account_key::Entity::update(revoked).exec(&transaction).await.map_err(translate)?;
        self.write_audit(&transaction, audit, revision, at).await?;
        commit(transaction).await?;
        row.try_into().map(Some)
    }

    async fn find_account_key(&self, digest: [u8; 32]) -> Result<Option<(AccountKey, TenantStatus)>, StoreError> {
        let found = account_key::Entity::find().filter(account_key::Column::Digest.eq(digest.to_vec()));
        let Some(row) = found.one(&self.connection).await.map_err(translate)? else { return Ok(None) };
        let tenant = tenant::Entity::find_by_id(row.tenant_id).one(&self.connection).await.map_err(translate)?;
        let tenant = tenant.ok_or_else(|| broken_row("account_key", "a key of no tenant"))?;
        let status = TenantStatus::from_text(&tenant.status)
            .ok_or_else(|| broken_row("tenant", format_args!("status {:?}", tenant.status)))?;
        Ok(Some((row.try_into()?, status)))
    }

    async fn account_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        use account_key::{Column, Entity};
        note_last_used::<Entity>(self, (Column::Id, Column::LastUsedAt), used).await
    }
}
