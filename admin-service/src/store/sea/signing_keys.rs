//! Signing keys in the database.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder as _, QuerySelect as _, prelude::*};
use shared::time::from_unix_ms;

use super::{DIRECTORY, SeaStore, commit, translate};
use crate::{
    domain::signing_key::SealedSigningKey,
    store::{
        SigningKeyStore, StoreError,
        entity::{directory, secret, signing_key},
        stored_time,
    },
};

async fn all(connection: &impl ConnectionTrait) -> Result<Vec<SealedSigningKey>, StoreError> {
    let rows =
        signing_key::Entity::find().order_by_desc(signing_key::Column::Id).all(connection).await.map_err(translate)?;
    Ok(rows
        .into_iter()
        .map(|row| SealedSigningKey {
            id: row.id,
            public: row.public,
            sealed_private: row.sealed_private,
            created_at: from_unix_ms(row.created_at),
        })
        .collect())
}

#[async_trait]
impl SigningKeyStore for SeaStore {
    async fn signing_keys(&self) -> Result<Vec<SealedSigningKey>, StoreError> {
        all(&self.connection).await
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

    async fn ensure_signing_key(&self, key: SealedSigningKey) -> Result<Vec<SealedSigningKey>, StoreError> {
        let transaction = self.begin_write().await?;
        // Replicas that start together take turns here, so that one makes the key and the others find it. It is no change
        // of the directory's, so it takes no revision: each of those is in the history.
        directory::Entity::find_by_id(DIRECTORY).lock_exclusive().one(&transaction).await.map_err(translate)?;
        let existing = all(&transaction).await?;
        if !existing.is_empty() {
            transaction.rollback().await.map_err(translate)?;
            return Ok(existing);
        }
        let row = signing_key::ActiveModel {
            id: Set(key.id),
            public: Set(key.public.clone()),
            sealed_private: Set(key.sealed_private.clone()),
            created_at: Set(stored_time(key.created_at)),
        };
        signing_key::Entity::insert(row).exec_without_returning(&transaction).await.map_err(translate)?;
        commit(transaction).await?;
        Ok(vec![key])
    }
}
