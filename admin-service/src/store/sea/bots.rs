//! Bots in the database.

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ConnectionTrait, PaginatorTrait as _, QueryOrder as _, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    change::Change,
    connection::{SeaStore, translate},
    values::stored_time,
};
use crate::{
    domain::{audit::AuditEntry, bot::Bot},
    store::{
        entity::bot,
        error::{Limited, StoreError},
        ports::BotStore,
    },
};

impl From<bot::Model> for Bot {
    fn from(row: bot::Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            name: row.name,
            is_default: row.is_default,
            created_at: from_unix_ms(row.created_at),
        }
    }
}

pub(super) async fn insert(connection: &impl ConnectionTrait, bot: Bot) -> Result<(), StoreError> {
    let row = bot::ActiveModel {
        id: Set(bot.id),
        tenant_id: Set(bot.tenant_id.as_uuid()),
        name: Set(bot.name),
        is_default: Set(bot.is_default),
        created_at: Set(stored_time(bot.created_at)),
        look: Set(None),
        look_updated_at: Set(None),
    };
    bot::Entity::insert(row).exec_without_returning(connection).await.map_err(translate)?;
    Ok(())
}

fn of(tenant_id: TenantId) -> Select<bot::Entity> {
    bot::Entity::find().filter(bot::Column::TenantId.eq(tenant_id.as_uuid()))
}

#[async_trait]
impl BotStore for SeaStore {
    async fn create_bot(&self, by: Uuid, bot: Bot, most: usize, audit: AuditEntry) -> Result<(), StoreError> {
        let change = Change::begin_for(self, by).await?;
        let count = of(bot.tenant_id).count(change.rows()).await.map_err(translate)?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Full { what: Limited::Bots, most });
        }
        let at = bot.created_at;
        insert(change.rows(), bot).await?;
        change.commit(audit, at).await.map(drop)
    }

    async fn bots(&self, tenant_id: TenantId) -> Result<Vec<Bot>, StoreError> {
        let rows = of(tenant_id).order_by_asc(bot::Column::Id).all(&self.connection).await.map_err(translate)?;
        Ok(rows.into_iter().map(Bot::from).collect())
    }
}
