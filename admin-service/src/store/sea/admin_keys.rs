//! Admin keys in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, PaginatorTrait as _, QueryOrder as _, prelude::*, sea_query::ExprTrait as _};
use wire::time::{from_unix_ms, now};

use super::{
    change::Change,
    connection::{SeaStore, translate},
    uses::note_last_used,
    values::{broken_row, stored_time},
};
use crate::{
    domain::{admin_key::AdminKey, audit::AuditEntry},
    store::{
        entity::admin_key,
        error::{Limited, Missing, StoreError},
        ports::AdminKeyStore,
    },
};

impl TryFrom<admin_key::Model> for AdminKey {
    type Error = StoreError;

    fn try_from(row: admin_key::Model) -> Result<Self, StoreError> {
        let scopes: Vec<String> =
            serde_json::from_value(row.scopes).map_err(|error| broken_row("admin_key.scopes", error))?;
        Ok(Self {
            id: row.id,
            name: row.name,
            // A newer version may know further scopes. What this one does not know, it does not allow.
            scopes: scopes.iter().filter_map(|text| text.parse().ok()).collect(),
            hint: row.hint,
            created_at: from_unix_ms(row.created_at),
            expires_at: row.expires_at.map(from_unix_ms),
            revoked_at: row.revoked_at.map(from_unix_ms),
            last_used_at: row.last_used_at.map(from_unix_ms),
        })
    }
}

#[async_trait]
impl AdminKeyStore for SeaStore {
    async fn create_admin_key(
        &self,
        key: AdminKey,
        digest: [u8; 32],
        most: usize,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        use admin_key::{Column, Entity};
        let change = Change::begin(self).await?;
        let is_standing = Column::ExpiresAt.is_null().or(Column::ExpiresAt.gt(stored_time(key.created_at)));
        let standing = Entity::find().filter(Column::RevokedAt.is_null()).filter(is_standing);
        let count = standing.count(change.rows()).await.map_err(translate)?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Full { what: Limited::AdminKeys, most });
        }
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let row = admin_key::ActiveModel {
            id: Set(key.id),
            name: Set(key.name),
            digest: Set(digest.to_vec()),
            hint: Set(key.hint),
            scopes: Set(serde_json::json!(scopes)),
            created_at: Set(stored_time(key.created_at)),
            expires_at: Set(key.expires_at.map(stored_time)),
            revoked_at: Set(None),
            last_used_at: Set(None),
        };
        Entity::insert(row).exec_without_returning(change.rows()).await.map_err(translate)?;
        change.commit(audit, key.created_at).await.map(drop)
    }

    async fn admin_keys(&self) -> Result<Vec<AdminKey>, StoreError> {
        let newest_first = admin_key::Entity::find().order_by_desc(admin_key::Column::Id);
        let rows = newest_first.all(&self.connection).await.map_err(translate)?;
        rows.into_iter().map(AdminKey::try_from).collect()
    }

    async fn revoke_admin_key(&self, id: Uuid, audit: AuditEntry) -> Result<AdminKey, StoreError> {
        let change = Change::begin(self).await?;
        let found = admin_key::Entity::find_by_id(id).one(change.rows()).await.map_err(translate)?;
        let row = found.ok_or(StoreError::NotFound(Missing::AdminKey))?;
        if row.revoked_at.is_some() {
            change.roll_back().await?;
            return row.try_into();
        }
        let at = now();
        let revoked =
            admin_key::ActiveModel { id: Set(id), revoked_at: Set(Some(stored_time(at))), ..Default::default() };
        let row = admin_key::Entity::update(revoked).exec(change.rows()).await.map_err(translate)?;
        change.commit(audit, at).await?;
        row.try_into()
    }

    async fn find_admin_key(&self, digest: [u8; 32]) -> Result<Option<AdminKey>, StoreError> {
        let found = admin_key::Entity::find().filter(admin_key::Column::Digest.eq(digest.to_vec()));
        found.one(&self.connection).await.map_err(translate)?.map(AdminKey::try_from).transpose()
    }

    async fn admin_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        use admin_key::{Column, Entity};
        note_last_used::<Entity>(self, (Column::Id, Column::LastUsedAt), used).await
    }
}
