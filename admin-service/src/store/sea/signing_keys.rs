//! Signing keys in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder as _, prelude::*};
use wire::time::{from_unix_ms, now};

use super::{
    change::Change,
    connection::{SeaStore, Transaction, commit, translate},
    directory,
    values::stored_time,
};
use crate::{
    domain::{
        audit::{AuditEntry, Subject},
        signing_key::{SealedSigningKey, signing_at},
    },
    store::{
        entity::{secret, signing_key},
        error::{InUse, Limited, Missing, StoreError},
        ports::SigningKeyStore,
        revision::AtRevision,
    },
};

async fn read(
    connection: &impl ConnectionTrait,
    query: Select<signing_key::Entity>,
) -> Result<Vec<SealedSigningKey>, StoreError> {
    let rows = query.order_by_desc(signing_key::Column::Id).all(connection).await.map_err(translate)?;
    Ok(rows
        .into_iter()
        .map(|row| SealedSigningKey {
            id: row.id,
            public: row.public,
            sealed_private: row.sealed_private,
            created_at: from_unix_ms(row.created_at),
            signs_from: from_unix_ms(row.signs_from),
            retired_at: row.retired_at.map(from_unix_ms),
        })
        .collect())
}

fn not_retired() -> Select<signing_key::Entity> {
    signing_key::Entity::find().filter(signing_key::Column::RetiredAt.is_null())
}

async fn insert(transaction: &Transaction, key: SealedSigningKey) -> Result<(), StoreError> {
    let row = signing_key::ActiveModel {
        id: Set(key.id),
        public: Set(key.public),
        sealed_private: Set(key.sealed_private),
        created_at: Set(stored_time(key.created_at)),
        signs_from: Set(stored_time(key.signs_from)),
        retired_at: Set(key.retired_at.map(stored_time)),
    };
    signing_key::Entity::insert(row).exec_without_returning(transaction).await.map(drop).map_err(translate)
}

/// Writes that a key is retired, and erases its private half.
async fn write_retirement(transaction: &Transaction, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    let retired = signing_key::ActiveModel {
        id: Set(id),
        sealed_private: Set(Vec::new()),
        retired_at: Set(Some(stored_time(at))),
        ..Default::default()
    };
    signing_key::Entity::update(retired).exec(transaction).await.map(drop).map_err(translate)
}

#[async_trait]
impl SigningKeyStore for SeaStore {
    async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        read(&self.connection, not_retired()).await
    }

    async fn all_signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        read(&self.connection, signing_key::Entity::find()).await
    }

    async fn ensure_secret(&self, name: &'static str, sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let kept = secret::Entity::find_by_id(name).one(&self.connection).await.map_err(translate)?;
        if let Some(kept) = kept {
            return Ok(kept.sealed);
        }
        let transaction = self.begin_write().await?;
        directory::lock(&transaction).await?;
        let kept = secret::Entity::find_by_id(name).one(&transaction).await.map_err(translate)?;
        if let Some(kept) = kept {
            transaction.rollback().await.map_err(translate)?;
            return Ok(kept.sealed);
        }
        let row = secret::ActiveModel { name: Set(name.to_owned()), sealed: Set(sealed.clone()) };
        secret::Entity::insert(row).exec_without_returning(&transaction).await.map_err(translate)?;
        commit(transaction).await?;
        Ok(sealed)
    }

    async fn ensure_signing_key(&self, key: SealedSigningKey) -> Result<(), StoreError> {
        let transaction = self.begin_write().await?;
        // Replicas that start together wait for each other at this row: the first makes the key, and the others find it. The key takes
        // no revision, because each revision must have its audit row, and no operator asked for this key.
        directory::lock(&transaction).await?;
        if !read(&transaction, not_retired()).await?.is_empty() {
            return transaction.rollback().await.map_err(translate);
        }
        insert(&transaction, key).await?;
        commit(transaction).await
    }

    async fn add_signing_key(
        &self,
        key: SealedSigningKey,
        most: usize,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError> {
        let change = Change::begin(self).await?;
        let at = now();
        let (kept, overtaken): (Vec<_>, Vec<_>) =
            // A key without a delay signs from the start, even if its maker's clock is ahead of ours.
            read(change.rows(), not_retired()).await?.into_iter().partition(|key| key.signs_from <= at.max(key.created_at));
        if kept.len() >= most {
            return Err(StoreError::Full { what: Limited::SigningKeys, most });
        }
        let mut audit = audit;
        for key in overtaken {
            write_retirement(change.rows(), key.id, at).await?;
            audit.changed_fields.push(Subject::SigningKey(key.id).to_string());
        }
        insert(change.rows(), key).await?;
        Ok(AtRevision { value: (), revision: change.commit(audit, at).await? })
    }

    async fn retire_signing_key(
        &self,
        id: Uuid,
        open: &[Uuid],
        audit: AuditEntry,
    ) -> Result<AtRevision<SealedSigningKey>, StoreError> {
        let change = Change::begin(self).await?;
        let keys = read(change.rows(), signing_key::Entity::find()).await?;
        let found = keys.iter().find(|key| key.id == id).cloned();
        let mut key = found.ok_or(StoreError::NotFound(Missing::SigningKey))?;
        if key.retired_at.is_some() {
            return Ok(AtRevision { value: key, revision: change.roll_back().await? });
        }
        let at = now();
        if signing_at(keys.iter().filter(|key| open.contains(&key.id)), at).is_some_and(|signing| signing.id == id) {
            return Err(StoreError::InUse(InUse::SigningKey));
        }
        key.retired_at = Some(at);
        key.sealed_private.clear();
        write_retirement(change.rows(), id, at).await?;
        Ok(AtRevision { value: key, revision: change.commit(audit, at).await? })
    }
}
