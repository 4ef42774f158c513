//! Widget keys, look and copy in the database.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ConnectionTrait, PaginatorTrait as _, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::{
    TenantId,
    origin::Domain,
    time::{from_unix_ms, now},
};

use super::{
    change::Change,
    connection::{SeaStore, translate},
    values::{broken_row, stored_time},
};
use crate::{
    domain::{
        audit::AuditEntry,
        credentials::WidgetKey,
        widget::{Appearance, BotKey},
    },
    store::{
        entity::{bot, tenant, widget_key},
        error::{InUse, Limited, Missing, StoreError},
        ports::{StoredAppearance, WidgetStore},
        revision::AtRevision,
    },
};

impl TryFrom<widget_key::Model> for BotKey {
    type Error = StoreError;

    fn try_from(row: widget_key::Model) -> Result<Self, StoreError> {
        let broken = |error: &dyn std::fmt::Display| broken_row("widget_key", error);
        let domains: Vec<String> = serde_json::from_value(row.allowed_domains).map_err(|error| broken(&error))?;
        let domains = domains.iter().map(|text| text.parse::<Domain>()).collect::<Result<_, _>>();
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            bot_id: row.bot_id,
            api_key: WidgetKey::from_stored(row.api_key),
            name: row.name,
            allowed_domains: domains.map_err(|error| broken(&error))?,
            rate_limit_per_hour: u32::try_from(row.rate_limit_per_hour).map_err(|error| broken(&error))?,
            is_active: row.is_active,
            created_at: from_unix_ms(row.created_at),
            last_used_at: row.last_used_at.map(from_unix_ms),
        })
    }
}

pub(super) async fn insert(connection: &impl ConnectionTrait, key: BotKey) -> Result<(), StoreError> {
    let domains: Vec<String> = key.allowed_domains.iter().map(Domain::to_string).collect();
    let row = widget_key::ActiveModel {
        id: Set(key.id),
        tenant_id: Set(key.tenant_id.as_uuid()),
        bot_id: Set(key.bot_id),
        api_key: Set(key.api_key.as_str().to_owned()),
        name: Set(key.name),
        allowed_domains: Set(serde_json::json!(domains)),
        rate_limit_per_hour: Set(key.rate_limit_per_hour.into()),
        is_active: Set(key.is_active),
        created_at: Set(stored_time(key.created_at)),
        last_used_at: Set(key.last_used_at.map(stored_time)),
    };
    widget_key::Entity::insert(row).exec_without_returning(connection).await.map_err(translate)?;
    Ok(())
}

/// The tenant's own key gets another text; all else of it stays.
pub(super) async fn replace(connection: &impl ConnectionTrait, old: &str, new: &str) -> Result<(), StoreError> {
    widget_key::Entity::update_many()
        .col_expr(widget_key::Column::ApiKey, new.into())
        .filter(widget_key::Column::ApiKey.eq(old))
        .exec(connection)
        .await
        .map_err(translate)?;
    Ok(())
}

fn bot_of(tenant_id: TenantId, bot_id: Uuid) -> Select<bot::Entity> {
    bot::Entity::find_by_id(bot_id).filter(bot::Column::TenantId.eq(tenant_id.as_uuid()))
}

pub(super) fn appearance_from_row(row: bot::Model) -> Result<StoredAppearance, StoreError> {
    let appearance: Appearance = match row.look {
        Some(appearance) => serde_json::from_value(appearance).map_err(|error| broken_row("bot.appearance", error))?,
        None => Appearance::default(),
    };
    let created_at = from_unix_ms(row.created_at);
    Ok(StoredAppearance { appearance, created_at, updated_at: row.look_updated_at.map_or(created_at, from_unix_ms) })
}

#[async_trait]
impl WidgetStore for SeaStore {
    async fn create_widget_key(
        &self,
        by: Uuid,
        key: BotKey,
        most: usize,
        audit: AuditEntry,
    ) -> Result<u64, StoreError> {
        let change = Change::begin_for(self, by).await?;
        if bot_of(key.tenant_id, key.bot_id).one(change.rows()).await.map_err(translate)?.is_none() {
            return Err(StoreError::NotFound(Missing::Bot));
        }
        let standing = widget_key::Entity::find()
            .filter(widget_key::Column::BotId.eq(key.bot_id))
            .filter(widget_key::Column::IsActive.eq(true));
        let count = standing.count(change.rows()).await.map_err(translate)?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Full { what: Limited::WidgetKeys, most });
        }
        let at = key.created_at;
        insert(change.rows(), key).await?;
        change.commit(audit, at).await
    }

    async fn widget_keys(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<Option<Vec<BotKey>>, StoreError> {
        if bot_of(tenant_id, bot_id).one(&self.connection).await.map_err(translate)?.is_none() {
            return Ok(None);
        }
        let newest_first = widget_key::Entity::find()
            .filter(widget_key::Column::BotId.eq(bot_id))
            .order_by_desc(widget_key::Column::CreatedAt)
            .order_by_desc(widget_key::Column::Id);
        let rows = newest_first.all(&self.connection).await.map_err(translate)?;
        rows.into_iter().map(BotKey::try_from).collect::<Result<_, _>>().map(Some)
    }

    async fn revoke_widget_key(
        &self,
        by: Uuid,
        tenant_id: TenantId,
        id: Uuid,
        audit: AuditEntry,
    ) -> Result<AtRevision<BotKey>, StoreError> {
        let change = Change::begin_for(self, by).await?;
        let found = widget_key::Entity::find_by_id(id)
            .filter(widget_key::Column::TenantId.eq(tenant_id.as_uuid()))
            .one(change.rows())
            .await
            .map_err(translate)?;
        let row = found.ok_or(StoreError::NotFound(Missing::WidgetKey))?;
        let tenant = tenant::Entity::find_by_id(row.tenant_id).one(change.rows()).await.map_err(translate)?;
        if tenant.is_some_and(|tenant| tenant.widget_public_key == row.api_key) {
            // The tenant's answers would go on naming a key that opens nothing.
            return Err(StoreError::InUse(InUse::TenantsWidgetKey));
        }
        let revoked = widget_key::ActiveModel { id: Set(id), is_active: Set(false), ..Default::default() };
        let row = widget_key::Entity::update(revoked).exec(change.rows()).await.map_err(translate)?;
        let revoked = row.try_into()?;
        Ok(AtRevision { value: revoked, revision: change.commit(audit, now()).await? })
    }

    async fn appearance(&self, tenant_id: TenantId, bot_id: Uuid) -> Result<Option<StoredAppearance>, StoreError> {
        let row = bot_of(tenant_id, bot_id).one(&self.connection).await.map_err(translate)?;
        row.map(appearance_from_row).transpose()
    }

    async fn save_appearance(
        &self,
        by: Uuid,
        tenant_id: TenantId,
        bot_id: Uuid,
        write: &(dyn for<'a> Fn(&'a mut Appearance) -> AuditEntry + Send + Sync),
    ) -> Result<AtRevision<StoredAppearance>, StoreError> {
        let change = Change::begin_for(self, by).await?;
        let locked = bot_of(tenant_id, bot_id).lock_exclusive().one(change.rows()).await.map_err(translate)?;
        let row = locked.ok_or(StoreError::NotFound(Missing::Bot))?;
        let mut appearance = appearance_from_row(row)?.appearance;
        let audit = write(&mut appearance);
        let at: Timestamp = now();
        let appearance = serde_json::to_value(&appearance).map_err(|error| broken_row("bot.appearance", error))?;
        let saved = bot::ActiveModel {
            id: Set(bot_id),
            look: Set(Some(appearance)),
            look_updated_at: Set(Some(stored_time(at))),
            ..Default::default()
        };
        let row = bot::Entity::update(saved).exec(change.rows()).await.map_err(translate)?;
        let saved = appearance_from_row(row)?;
        Ok(AtRevision { value: saved, revision: change.commit(audit, at).await? })
    }
}
