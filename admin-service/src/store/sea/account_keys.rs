//! Account keys in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, PaginatorTrait as _, QueryOrder as _, prelude::*, sea_query::ExprTrait as _};
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use super::{
    change::Change,
    connection::{SeaStore, translate},
    uses::note_last_used,
    values::{broken_row, stored_time},
};
use crate::{
    domain::{account_key::AccountKey, audit::AuditEntry, tenant::TenantStatus},
    store::{
        entity::{account_key, tenant},
        error::{Limited, Missing, StoreError},
        ports::AccountKeyStore,
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

#[async_trait]
impl AccountKeyStore for SeaStore {
    async fn create_account_key(
        &self,
        key: AccountKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        let change = Change::begin(self).await?;
        let tenant = tenant::Entity::find_by_id(key.tenant_id.as_uuid()).one(change.rows()).await.map_err(translate)?;
        if tenant.is_none() {
            return Err(StoreError::NotFound(Missing::Tenant));
        }
        let standing = of(key.tenant_id).filter(account_key::Column::RevokedAt.is_null()).filter(
            account_key::Column::ExpiresAt.is_null().or(account_key::Column::ExpiresAt.gt(stored_time(key.created_at))),
        );
        let count = standing.count(change.rows()).await.map_err(translate)?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Full { what: Limited::AccountKeys, most });
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
        account_key::Entity::insert(row).exec_without_returning(change.rows()).await.map_err(translate)?;
        change.commit(audit, key.created_at).await.map(drop)
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
    ) -> Result<AccountKey, StoreError> {
        let change = Change::begin(self).await?;
        let found = of(tenant_id).filter(account_key::Column::Id.eq(id)).one(change.rows()).await.map_err(translate)?;
        let row = found.ok_or(StoreError::NotFound(Missing::AccountKey))?;
        if row.revoked_at.is_some() {
            change.roll_back().await?;
            return row.try_into();
        }
        let at = now();
        let revoked =
            account_key::ActiveModel { id: Set(id), revoked_at: Set(Some(stored_time(at))), ..Default::default() };
        let row = account_key::Entity::update(revoked).exec(change.rows()).await.map_err(translate)?;
        change.commit(audit, at).await?;
        row.try_into()
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
