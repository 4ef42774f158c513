//! Visitors' sessions in the database, and what widget keys open.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, TransactionTrait as _, prelude::*};
use shared::{SessionId, TenantId, time::from_unix_ms};

use super::{SeaStore, broken_row, note_last_used, translate, widgets};
use crate::{
    domain::{
        credentials::WidgetKey,
        tenant::Tenant,
        visitor::{Mode, VisitorSession, WidgetDoor},
    },
    store::{
        StoreError, VisitorStore,
        entity::{bot, tenant, visitor_session, widget_key},
        stored_time,
    },
};

impl TryFrom<visitor_session::Model> for VisitorSession {
    type Error = StoreError;

    fn try_from(row: visitor_session::Model) -> Result<Self, StoreError> {
        let broken = |error: &dyn std::fmt::Display| broken_row("visitor_session", error);
        Ok(Self {
            id: row.id.into(),
            tenant_id: row.tenant_id.into(),
            bot_id: row.bot_id,
            widget_key: WidgetKey::from_stored(row.widget_key),
            origin: row.origin.parse().map_err(|error| broken(&error))?,
            locale: row.locale,
            mode: Mode::from_text(&row.mode).ok_or_else(|| broken(&"mode"))?,
            routing_key: row.routing_key,
            metadata: serde_json::from_value(row.metadata).map_err(|error| broken(&error))?,
            created_at: from_unix_ms(row.created_at),
            expires_at: from_unix_ms(row.expires_at),
        })
    }
}

#[async_trait]
impl VisitorStore for SeaStore {
    async fn widget_door(&self, tenant_id: TenantId, key: &str) -> Result<Option<WidgetDoor>, StoreError> {
        let transaction = self.connection.begin().await.map_err(translate)?;
        let tenant = tenant::Entity::find_by_id(tenant_id.as_uuid()).one(&transaction).await.map_err(translate)?;
        let Some(tenant) = tenant else { return Ok(None) };
        let found = widget_key::Entity::find()
            .filter(widget_key::Column::ApiKey.eq(key))
            .filter(widget_key::Column::TenantId.eq(tenant_id.as_uuid()))
            .filter(widget_key::Column::IsActive.eq(true))
            .one(&transaction)
            .await
            .map_err(translate)?;
        let opened = match found {
            Some(key) => {
                let bot = bot::Entity::find_by_id(key.bot_id).one(&transaction).await.map_err(translate)?;
                let bot = bot.ok_or_else(|| broken_row("widget_key", "a key of no bot"))?;
                Some((key.try_into()?, widgets::look_from_row(bot)?.look))
            }
            None => None,
        };
        transaction.commit().await.map_err(translate)?;
        Ok(Some(WidgetDoor { tenant: Tenant::try_from(tenant)?, opened }))
    }

    async fn create_session(&self, session: &VisitorSession) -> Result<(), StoreError> {
        let row = visitor_session::ActiveModel {
            id: Set(session.id.as_uuid()),
            tenant_id: Set(session.tenant_id.as_uuid()),
            bot_id: Set(session.bot_id),
            widget_key: Set(session.widget_key.as_str().to_owned()),
            origin: Set(session.origin.to_string()),
            locale: Set(session.locale.clone()),
            mode: Set(session.mode.as_str().to_owned()),
            routing_key: Set(session.routing_key.clone()),
            metadata: Set(session.metadata.clone().into()),
            created_at: Set(stored_time(session.created_at)),
            expires_at: Set(stored_time(session.expires_at)),
        };
        let inserted = visitor_session::Entity::insert(row).exec_without_returning(&self.connection).await;
        inserted.map(drop).map_err(translate)
    }

    async fn session(&self, tenant_id: TenantId, id: SessionId) -> Result<Option<VisitorSession>, StoreError> {
        let row = visitor_session::Entity::find_by_id(id.as_uuid())
            .filter(visitor_session::Column::TenantId.eq(tenant_id.as_uuid()))
            .one(&self.connection)
            .await
            .map_err(translate)?;
        row.map(VisitorSession::try_from).transpose()
    }

    async fn forget_sessions(&self, before: Timestamp, most: u64) -> Result<u64, StoreError> {
        let ended = visitor_session::Entity::find()
            .select_only()
            .column(visitor_session::Column::Id)
            .filter(visitor_session::Column::ExpiresAt.lte(stored_time(before)))
            .order_by_asc(visitor_session::Column::ExpiresAt)
            .limit(most);
        visitor_session::Entity::delete_many()
            .filter(visitor_session::Column::Id.in_subquery(sea_orm::QueryTrait::into_query(ended)))
            .exec(&self.connection)
            .await
            .map(|removed| removed.rows_affected)
            .map_err(translate)
    }

    async fn widget_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        use widget_key::{Column, Entity};
        note_last_used::<Entity>(self, (Column::Id, Column::LastUsedAt), used).await
    }
}
