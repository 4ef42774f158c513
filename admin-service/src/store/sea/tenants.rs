//! Tenants and their audit log in the database.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, DatabaseBackend, QueryOrder as _, QuerySelect as _, Statement, prelude::*};
use wire::{
    TenantId,
    time::{from_unix_ms, now},
};

use super::{
    SeaStore, Transaction, bots, broken_row, commit, current_directory, end_read, next_revision, revision_from_row,
    translate, widgets,
};
use crate::{
    domain::{
        audit::AuditEntry,
        bot::{Bot, DEFAULT_BOT_NAME},
        credentials::WidgetKey,
        settings::TenantSettings,
        tenant::{Tenant, TenantStatus},
        widget::{BotKey, DEFAULT_KEY_NAME, DEFAULT_RATE_PER_HOUR},
    },
    store::{
        AtRevision, KeyedTenant, Page, PageStart, Replacement, StoreError, TenantStore, entity::tenant, stored_time,
    },
};

impl TryFrom<tenant::Model> for Tenant {
    type Error = StoreError;

    fn try_from(row: tenant::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.into(),
            status: TenantStatus::from_text(&row.status)
                .ok_or_else(|| broken_row("tenant", format_args!("status {:?}", row.status)))?,
            widget_public_key: WidgetKey::from_stored(row.widget_public_key),
            settings: serde_json::from_value(row.settings).map_err(|error| broken_row("tenant.settings", error))?,
            created_at: from_unix_ms(row.created_at),
            updated_at: from_unix_ms(row.updated_at),
            secret_rotated_at: row.secret_rotated_at.map(from_unix_ms),
            widget_key_rotated_at: row.widget_key_rotated_at.map(from_unix_ms),
            token_generation: revision_from_row(row.token_generation)?,
            visitor_revocations: revision_from_row(row.visitor_revocations)?,
            sessions_ended: revision_from_row(row.sessions_ended)?,
            revision: revision_from_row(row.revision)?,
        })
    }
}

fn settings_json(settings: &TenantSettings) -> Result<Json, StoreError> {
    serde_json::to_value(settings).map_err(|error| broken_row("tenant.settings", error))
}

impl SeaStore {
    /// Reads the row to be changed and keeps others from changing it, lets `change` write on it, and commits it with
    /// its revision and audit row.
    pub(super) async fn change(
        &self,
        id: TenantId,
        audit: AuditEntry,
        change: impl FnOnce(&tenant::Model, &mut tenant::ActiveModel, Timestamp) -> Result<(), StoreError> + Send,
    ) -> Result<Tenant, StoreError> {
        let transaction = self.begin_write().await?;
        let row = self.lock_row(&transaction, id).await?.ok_or(StoreError::NotFound)?;
        let mut active = tenant::ActiveModel { id: Set(row.id), ..Default::default() };
        // Stamped once the row is ours, and never before the change it follows, whatever the replicas' clocks say.
        let at = now().max(from_unix_ms(row.updated_at));
        change(&row, &mut active, at)?;
        active.updated_at = Set(stored_time(at));
        let revision = next_revision(&transaction, 0).await?;
        active.revision = Set(revision);
        let changed = tenant::Entity::update(active).exec(&transaction).await.map_err(translate)?;
        if changed.widget_public_key != row.widget_public_key {
            widgets::replace(&transaction, &row.widget_public_key, &changed.widget_public_key).await?;
        }
        self.write_audit(&transaction, audit, revision, at).await?;
        commit(transaction).await?;
        changed.try_into()
    }

    pub(super) async fn lock_row(
        &self,
        transaction: &Transaction,
        id: TenantId,
    ) -> Result<Option<tenant::Model>, StoreError> {
        // SQLite has no row locks and needs none: its writer is alone.
        tenant::Entity::find_by_id(id.as_uuid()).lock_exclusive().one(transaction).await.map_err(translate)
    }
}

#[async_trait]
impl TenantStore for SeaStore {
    async fn create(&self, tenant: Tenant, sealed_secret: Vec<u8>, audit: AuditEntry) -> Result<Tenant, StoreError> {
        let transaction = self.begin_write().await?;
        let revision = next_revision(&transaction, 1).await?;
        let row = tenant::ActiveModel {
            id: Set(tenant.id.as_uuid()),
            status: Set(tenant.status.as_str().to_owned()),
            sealed_secret: Set(sealed_secret),
            widget_public_key: Set(tenant.widget_public_key.as_str().to_owned()),
            settings: Set(settings_json(&tenant.settings)?),
            revision: Set(revision),
            created_at: Set(stored_time(tenant.created_at)),
            updated_at: Set(stored_time(tenant.updated_at)),
            secret_rotated_at: Set(None),
            widget_key_rotated_at: Set(None),
            token_generation: Set(0),
            visitor_revocations: Set(0),
            sessions_ended: Set(0),
        };
        tenant::Entity::insert(row).exec_without_returning(&transaction).await.map_err(translate)?;
        let bot = Bot {
            id: Uuid::now_v7(),
            tenant_id: tenant.id,
            name: DEFAULT_BOT_NAME.to_owned(),
            is_default: true,
            created_at: tenant.created_at,
        };
        let key = BotKey {
            id: Uuid::now_v7(),
            tenant_id: tenant.id,
            bot_id: bot.id,
            api_key: tenant.widget_public_key.clone(),
            name: DEFAULT_KEY_NAME.to_owned(),
            allowed_domains: Vec::new(),
            rate_limit_per_hour: DEFAULT_RATE_PER_HOUR,
            is_active: true,
            created_at: tenant.created_at,
            last_used_at: None,
        };
        bots::insert(&transaction, bot).await?;
        widgets::insert(&transaction, key).await?;
        self.write_audit(&transaction, audit, revision, tenant.created_at).await?;
        commit(transaction).await?;
        Ok(Tenant { revision: revision_from_row(revision)?, ..tenant })
    }

    async fn rotate(&self, id: TenantId, to: Replacement, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change(id, audit, |before, row, at| {
            let at = Set(Some(stored_time(at)));
            match to {
                Replacement::Secret { sealed, revokes_issued } => {
                    row.sealed_secret = Set(sealed);
                    row.secret_rotated_at = at;
                    row.token_generation = Set(before.token_generation + i64::from(revokes_issued));
                }
                Replacement::WidgetKey(key) => {
                    row.widget_public_key = Set(key.as_str().to_owned());
                    row.widget_key_rotated_at = at;
                }
            }
            Ok(())
        })
        .await
    }

    async fn set_status(&self, id: TenantId, status: TenantStatus, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change(id, audit, |_, row, _| {
            row.status = Set(status.as_str().to_owned());
            Ok(())
        })
        .await
    }

    async fn apply_update(
        &self,
        id: TenantId,
        expected_revision: u64,
        settings: &TenantSettings,
        audit: AuditEntry,
    ) -> Result<Tenant, StoreError> {
        let settings = settings_json(settings)?;
        self.change(id, audit, |row, active, _| {
            if revision_from_row(row.revision)? != expected_revision {
                return Err(StoreError::Conflict);
            }
            active.settings = Set(settings);
            Ok(())
        })
        .await
    }

    async fn find(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = tenant::Entity::find_by_id(id.as_uuid()).one(&self.connection).await.map_err(translate)?;
        row.map(Tenant::try_from).transpose()
    }

    async fn find_keyed(&self, id: TenantId) -> Result<AtRevision<Option<KeyedTenant>>, StoreError> {
        // The revision is read first: under READ COMMITTED the row may then be newer than the revision says, which
        // costs a fetch too many, but never older, which would be a stale answer under a fresh number.
        let transaction = self.begin_read().await?;
        let directory = current_directory(&transaction).await?;
        let row = tenant::Entity::find_by_id(id.as_uuid()).one(&transaction).await.map_err(translate)?;
        end_read(transaction).await?;
        let value = row
            .map(|row| {
                let sealed_secret = row.sealed_secret.clone();
                Ok::<_, StoreError>(KeyedTenant { tenant: row.try_into()?, sealed_secret })
            })
            .transpose()?;
        Ok(AtRevision { value, revision: revision_from_row(directory.revision)? })
    }

    async fn page(&self, start: PageStart, limit: u64) -> Result<(Page<Tenant>, u64), StoreError> {
        let transaction = self.begin_read().await?;
        let directory = current_directory(&transaction).await?;
        let newest_first = tenant::Entity::find().order_by_desc(tenant::Column::Id).limit(limit + 1);
        let rows = match start {
            PageStart::Offset(offset) => newest_first.offset(offset),
            PageStart::After(id) => newest_first.filter(tenant::Column::Id.lt(id)),
        }
        .all(&transaction)
        .await
        .map_err(translate)?;
        end_read(transaction).await?;
        let page = cut(rows, limit, |row| row.id)?;
        Ok((page, revision_from_row(directory.tenant_total)?))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.connection.get_database_backend() == DatabaseBackend::Postgres {
            let sql = "SELECT current_setting('transaction_read_only') AS read_only";
            let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
            let row = self.connection.query_one_raw(statement).await.map_err(translate)?;
            let read_only: Option<String> = row.and_then(|row| row.try_get("", "read_only").ok());
            if read_only.as_deref() != Some("off") {
                // After a failover: connections made anew may lead to the server that takes changes.
                self.guard.doubt_now_and_then();
                self.kept.was_read_only.store(true, Ordering::Relaxed);
                return Err(StoreError::NoChanges("the server may only be read".to_owned()));
            }
            if self.kept.was_read_only.swap(false, Ordering::Relaxed) {
                // Connections that were made while the server could only be read stay so: a change must not meet one of them.
                self.guard.doubt();
            }
            return Ok(());
        }
        tenant::Entity::find().limit(1).one(&self.connection).await.map(drop).map_err(translate)
    }
}

/// Makes a page of one row more than the page holds: that row says whether there is a next page.
pub(super) fn cut<Row, T: TryFrom<Row, Error = StoreError>, Key>(
    mut rows: Vec<Row>,
    limit: u64,
    key: impl Fn(&Row) -> Key,
) -> Result<Page<T, Key>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(key);
    Ok(Page { items: rows.into_iter().map(T::try_from).collect::<Result<_, _>>()?, next })
}
