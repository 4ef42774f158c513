//! Visitors' sessions in the database, and what widget keys open.

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*, sea_query::OnConflict};
use wire::{SessionId, TenantId};

use super::{
    change::LockedTenant,
    connection::{SeaStore, commit, end_read, translate},
    identities,
    sessions::{insert_session, lock_session, used_tokens},
    uses::note_last_used,
    values::{broken_row, number_from_row, stored_number, stored_time},
    widgets,
};
use crate::{
    domain::{
        audit::AuditEntry,
        tenant::Tenant,
        visitor::{UsedTokens, VisitorSession, WidgetAccess},
    },
    store::{
        entity::{bot, tenant, visitor_revocation, visitor_session, widget_key},
        error::StoreError,
        ports::{Identified, KnownVisitor, VisitorStore, Vouched},
        revision::AtRevision,
    },
};

#[async_trait]
impl VisitorStore for SeaStore {
    async fn widget_access(&self, tenant_id: TenantId, key: &str) -> Result<Option<WidgetAccess>, StoreError> {
        let transaction = self.begin_read().await?;
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
                Some((key.try_into()?, widgets::appearance_from_row(bot)?.appearance))
            }
            None => None,
        };
        end_read(transaction).await?;
        Ok(Some(WidgetAccess { tenant: Tenant::try_from(tenant)?, opened }))
    }

    async fn create_session(&self, session: &VisitorSession) -> Result<(), StoreError> {
        insert_session(&self.connection, session).await
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

    async fn use_token(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        generation: u64,
        at: Timestamp,
    ) -> Result<Option<UsedTokens>, StoreError> {
        let transaction = self.begin_write().await?;
        let Some(row) = lock_session(&transaction, tenant_id, id).await? else { return Ok(None) };
        let mut used = used_tokens(row.used_tokens)?;
        if used.note(generation, stored_time(at)) {
            let stored = serde_json::to_value(&used).map_err(|error| broken_row("visitor_session", error))?;
            let changed =
                visitor_session::ActiveModel { id: Set(row.id), used_tokens: Set(Some(stored)), ..Default::default() };
            visitor_session::Entity::update(changed).exec(&transaction).await.map_err(translate)?;
        }
        commit(transaction).await?;
        Ok(Some(used))
    }

    async fn end_session(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        audit: AuditEntry,
    ) -> Result<AtRevision<()>, StoreError> {
        let locked = LockedTenant::lock(self, tenant_id).await?;
        let session = lock_session(locked.rows(), tenant_id, id).await?;
        let Some(session) = session.filter(|session| session.ended_revision.is_none()) else {
            let revision = number_from_row(locked.row.sessions_ended)?;
            locked.roll_back().await?;
            return Ok(AtRevision { value: (), revision });
        };
        let (at, id) = (locked.time_of_change(), locked.row.id);
        let change = locked.take_revision().await?;
        let ended = visitor_session::ActiveModel {
            id: Set(session.id),
            ended_revision: Set(Some(change.revision())),
            ..Default::default()
        };
        visitor_session::Entity::update(ended).exec(change.rows()).await.map_err(translate)?;
        identities::note_ended(&change, id).await?;
        Ok(AtRevision { value: (), revision: change.commit(audit, at).await? })
    }

    async fn identify_visitor(
        &self,
        tenant_id: TenantId,
        from: SessionId,
        vouched: Vouched,
        audit: AuditEntry,
    ) -> Result<AtRevision<Identified>, StoreError> {
        identities::identify(self, tenant_id, from, vouched, audit).await
    }

    async fn ended_sessions(&self, tenant_id: TenantId, after: u64) -> Result<Vec<SessionId>, StoreError> {
        let ids: Vec<Uuid> = visitor_session::Entity::find()
            .select_only()
            .column(visitor_session::Column::Id)
            .filter(visitor_session::Column::TenantId.eq(tenant_id.as_uuid()))
            .filter(visitor_session::Column::EndedRevision.gt(stored_number(after)))
            .into_tuple()
            .all(&self.connection)
            .await
            .map_err(translate)?;
        Ok(ids.into_iter().map(SessionId::from).collect())
    }

    async fn revoke_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
        audit: AuditEntry,
    ) -> Result<AtRevision<Timestamp>, StoreError> {
        let locked = LockedTenant::lock(self, tenant_id).await?;
        let at = locked.time_of_change();
        let (id, generation) = (locked.row.id, locked.row.visitor_revocations + 1);
        identities::lock_sessions_of(&locked, visitor_user_id).await?;
        let change = locked.take_revision().await?;
        let changed = tenant::ActiveModel {
            id: Set(id),
            visitor_revocations: Set(generation),
            updated_at: Set(stored_time(at)),
            revision: Set(change.revision()),
            ..Default::default()
        };
        tenant::Entity::update(changed).exec(change.rows()).await.map_err(translate)?;
        let revoked = visitor_revocation::ActiveModel {
            tenant_id: Set(id),
            visitor_user_id: Set(visitor_user_id.to_owned()),
            generation: Set(generation),
            revoked_at: Set(stored_time(at)),
        };
        let key = [visitor_revocation::Column::TenantId, visitor_revocation::Column::VisitorUserId];
        let written = [visitor_revocation::Column::Generation, visitor_revocation::Column::RevokedAt];
        visitor_revocation::Entity::insert(revoked)
            .on_conflict(OnConflict::columns(key).update_columns(written).to_owned())
            .exec_without_returning(change.rows())
            .await
            .map_err(translate)?;
        identities::end_sessions_of(&change, id, visitor_user_id).await?;
        Ok(AtRevision { value: at, revision: change.commit(audit, at).await? })
    }

    async fn revoked_visitors(&self, tenant_id: TenantId, after: u64) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = visitor_revocation::Entity::find()
            .filter(visitor_revocation::Column::TenantId.eq(tenant_id.as_uuid()))
            .filter(visitor_revocation::Column::Generation.gt(stored_number(after)))
            .all(&self.connection)
            .await
            .map_err(translate)?;
        rows.into_iter().map(|row| Ok((row.visitor_user_id, number_from_row(row.generation)?))).collect()
    }

    async fn known_visitor(
        &self,
        tenant_id: TenantId,
        visitor_user_id: &str,
    ) -> Result<Option<KnownVisitor>, StoreError> {
        let transaction = self.begin_read().await?;
        let tenant = tenant::Entity::find_by_id(tenant_id.as_uuid()).one(&transaction).await.map_err(translate)?;
        let key = (tenant_id.as_uuid(), visitor_user_id.to_owned());
        let revoked = visitor_revocation::Entity::find_by_id(key).one(&transaction).await.map_err(translate)?;
        let bot = bot::Entity::find()
            .filter(bot::Column::TenantId.eq(tenant_id.as_uuid()))
            .filter(bot::Column::IsDefault.eq(true))
            .one(&transaction)
            .await
            .map_err(translate)?;
        end_read(transaction).await?;
        let Some(tenant) = tenant else { return Ok(None) };
        let bot_id = bot.ok_or_else(|| broken_row("bot", "a tenant without its default bot"))?.id;
        let generation = revoked.map_or(Ok(0), |row| number_from_row(row.generation))?;
        Ok(Some(KnownVisitor { tenant: tenant.try_into()?, bot_id, generation }))
    }

    async fn forget_revocations(&self, before: Timestamp) -> Result<(), StoreError> {
        visitor_revocation::Entity::delete_many()
            .filter(visitor_revocation::Column::RevokedAt.lt(stored_time(before)))
            .exec(&self.connection)
            .await
            .map(drop)
            .map_err(translate)
    }

    async fn widget_keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        use widget_key::{Column, Entity};
        note_last_used::<Entity>(self, (Column::Id, Column::LastUsedAt), used).await
    }
}
