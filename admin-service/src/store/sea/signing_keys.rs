//! Signing keys in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::time::{from_unix_ms, now};

use super::{DIRECTORY, SeaStore, Transaction, commit, next_revision, revision_from_row, translate};
use crate::{
    domain::{
        audit::AuditEntry,
        signing_key::{SealedSigningKey, signing_at},
    },
    store::{
        AtRevision, SigningKeyStore, StoreError,
        entity::{directory, secret, signing_key},
        stored_time,
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
        directory::Entity::find_by_id(DIRECTORY).lock_exclusive().one(&transaction).await.map_err(translate)?;
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
        // Replicas that start together take turns here, so that one makes the key and the others find it. It is no change
        // of the directory's, so it takes no revision: each of those is in the history.
        directory::Entity::find_by_id(DIRECTORY).lock_exclusive().one(&transaction).await.map_err(translate)?;
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
        let transaction = self.begin_write().await?;
        // First: changes of keys take turns at the directory's row.
        let revision = next_revision(&transaction, 0).await?;
        let at = now();
        let (kept, overtaken): (Vec<_>, Vec<_>) =
            // A key without a delay signs from the start, even if its maker's clock is ahead of ours.
            read(&transaction, not_retired()).await?.into_iter().partition(|key| key.signs_from <= at.max(key.created_at));
        if kept.len() >= most {
            return Err(StoreError::Full);
        }
        let mut audit = audit;
        for key in overtaken {
            write_retirement(&transaction, key.id, at).await?;
            audit.changed_fields.push(format!("signing_key:{}", key.id));
        }
        insert(&transaction, key).await?;
        self.write_audit(&transaction, audit, revision, at).await?;
        commit(transaction).await?;
        Ok(AtRevision { value: (), revision: revision_from_row(revision)? })
    }

    async fn retire_signing_key(
        &self,
        id: Uuid,
        open: &[Uuid],
        audit: AuditEntry,
    ) -> Result<AtRevision<SealedSigningKey>, StoreError> {
        let transaction = self.begin_write().await?;
        let revision = next_revision(&transaction, 0).await?;
        let keys = read(&transaction, signing_key::Entity::find()).await?;
        let mut key = keys.iter().find(|key| key.id == id).cloned().ok_or(StoreError::NotFound)?;
        if key.retired_at.is_some() {
            // Nothing changes, so this transaction is rolled back. The revision before it already contains the retirement; the
            // caller waits for that one.
            return Ok(AtRevision { value: key, revision: revision_from_row(revision - 1)? });
        }
        let at = now();
        if signing_at(keys.iter().filter(|key| open.contains(&key.id)), at).is_some_and(|signing| signing.id == id) {
            return Err(StoreError::InUse);
        }
        key.retired_at = Some(at);
        key.sealed_private.clear();
        write_retirement(&transaction, id, at).await?;
        self.write_audit(&transaction, audit, revision, at).await?;
        commit(transaction).await?;
        Ok(AtRevision { value: key, revision: revision_from_row(revision)? })
    }
}
