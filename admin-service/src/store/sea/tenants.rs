//! Tenants in the database.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, DatabaseBackend, QueryOrder as _, QuerySelect as _, Statement, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    bots,
    change::{Change, LockedTenant},
    connection::{SeaStore, end_read, translate},
    directory, outboxes,
    paging::cut,
    previous_secret,
    values::{broken_row, number_from_row, stored_time},
    widgets,
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
        entity::tenant,
        error::StoreError,
        page::{Page, PageStart},
        ports::{KeyedTenant, PreviousUse, Replacement, TenantStore},
        revision::AtRevision,
    },
};

impl TryFrom<tenant::Model> for Tenant {
    type Error = StoreError;

    fn try_from(row: tenant::Model) -> Result<Self, StoreError> {
        let previous_secret = previous_secret::read(&row);
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
            token_generation: number_from_row(row.token_generation)?,
            visitor_revocations: number_from_row(row.visitor_revocations)?,
            sessions_ended: number_from_row(row.sessions_ended)?,
            operators_changed: number_from_row(row.operators_changed)?,
            endpoint_stopped_at: row.endpoint_stopped_at.map(from_unix_ms),
            previous_secret,
            revision: number_from_row(row.revision)?,
        })
    }
}

fn settings_json(settings: &TenantSettings) -> Result<Json, StoreError> {
    serde_json::to_value(settings).map_err(|error| broken_row("tenant.settings", error))
}

impl SeaStore {
    /// Lets `write` change a tenant's row. `write` gets the row as it is, the row to write on, and the change's time.
    pub(super) async fn change_tenant(
        &self,
        id: TenantId,
        audit: AuditEntry,
        write: impl FnOnce(&tenant::Model, &mut tenant::ActiveModel, Timestamp) -> Result<(), StoreError> + Send,
    ) -> Result<Tenant, StoreError> {
        let locked = LockedTenant::lock(self, id).await?;
        let at = locked.time_of_change();
        let mut active = tenant::ActiveModel { id: Set(locked.row.id), ..Default::default() };
        write(&locked.row, &mut active, at)?;
        active.updated_at = Set(stored_time(at));
        let before = locked.row.clone();
        let change = locked.take_revision().await?;
        active.revision = Set(change.revision());
        let changed = tenant::Entity::update(active).exec(change.rows()).await.map_err(translate)?;
        if changed.widget_public_key != before.widget_public_key {
            widgets::replace(change.rows(), &before.widget_public_key, &changed.widget_public_key).await?;
        }
        outboxes::follow(change.rows(), &before, &changed, at).await?;
        let changed = changed.try_into()?;
        change.commit(audit, at).await?;
        Ok(changed)
    }
}

#[async_trait]
impl TenantStore for SeaStore {
    async fn create(&self, tenant: Tenant, sealed_secret: Vec<u8>, audit: AuditEntry) -> Result<Tenant, StoreError> {
        let change = Change::begin_with_new_tenant(self).await?;
        let row = tenant::ActiveModel {
            id: Set(tenant.id.as_uuid()),
            status: Set(tenant.status.as_str().to_owned()),
            sealed_secret: Set(sealed_secret),
            widget_public_key: Set(tenant.widget_public_key.as_str().to_owned()),
            settings: Set(settings_json(&tenant.settings)?),
            revision: Set(change.revision()),
            created_at: Set(stored_time(tenant.created_at)),
            updated_at: Set(stored_time(tenant.updated_at)),
            secret_rotated_at: Set(None),
            widget_key_rotated_at: Set(None),
            token_generation: Set(0),
            visitor_revocations: Set(0),
            sessions_ended: Set(0),
            endpoint_stopped_at: Set(None),
            operators_changed: Set(0),
            previous_sealed_secret: Set(None),
            previous_rotated_at: Set(None),
            previous_expires_at: Set(None),
            previous_last_used_at: Set(None),
            previous_last_used_by: Set(None),
        };
        tenant::Entity::insert(row).exec_without_returning(change.rows()).await.map_err(translate)?;
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
        bots::insert(change.rows(), bot).await?;
        widgets::insert(change.rows(), key).await?;
        outboxes::insert(change.rows(), tenant.id).await?;
        let revision = change.commit(audit, tenant.created_at).await?;
        Ok(Tenant { revision, ..tenant })
    }

    async fn rotate(&self, id: TenantId, to: Replacement, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change_tenant(id, audit, |before, row, at| {
            match to {
                Replacement::Secret { sealed, revokes_issued, overlap } => {
                    previous_secret::replace(before, row, at, overlap);
                    row.sealed_secret = Set(sealed);
                    row.secret_rotated_at = Set(Some(stored_time(at)));
                    row.token_generation = Set(before.token_generation + i64::from(revokes_issued));
                }
                Replacement::WidgetKey(key) => {
                    row.widget_public_key = Set(key.as_str().to_owned());
                    row.widget_key_rotated_at = Set(Some(stored_time(at)));
                }
            }
            Ok(())
        })
        .await
    }

    async fn revoke_previous_secret(&self, id: TenantId, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change_tenant(id, audit, |_, row, _| {
            previous_secret::clear(row);
            Ok(())
        })
        .await
    }

    async fn note_previous_uses(&self, gateway: &str, uses: &[PreviousUse]) -> Result<(), StoreError> {
        previous_secret::note_uses(self, gateway, uses).await
    }

    async fn forget_previous_secrets(&self) -> Result<(), StoreError> {
        previous_secret::forget(self).await
    }

    async fn set_status(&self, id: TenantId, status: TenantStatus, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change_tenant(id, audit, |_, row, _| {
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
        self.change_tenant(id, audit, |row, active, _| {
            if number_from_row(row.revision)? != expected_revision {
                return Err(StoreError::Conflict);
            }
            if row.settings.get("callback_url_base") != settings.get("callback_url_base") {
                // What stopped was the endpoint at the old URL.
                active.endpoint_stopped_at = Set(None);
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
        // Read the revision first. Under READ COMMITTED the row may then be newer than the revision, which costs a gateway one more
        // fetch. In the other order the row could be older than the revision, and a gateway would cache a stale row.
        let transaction = self.begin_read().await?;
        let directory = directory::read(&transaction).await?;
        let row = tenant::Entity::find_by_id(id.as_uuid()).one(&transaction).await.map_err(translate)?;
        end_read(transaction).await?;
        let value = row
            .map(|row| {
                let (sealed_secret, sealed_previous) = (row.sealed_secret.clone(), row.previous_sealed_secret.clone());
                let tenant = Tenant::try_from(row)?;
                let sealed_previous = sealed_previous.filter(|_| tenant.previous_secret.is_some());
                Ok::<_, StoreError>(KeyedTenant { tenant, sealed_secret, sealed_previous })
            })
            .transpose()?;
        Ok(AtRevision { value, revision: number_from_row(directory.revision)? })
    }

    async fn page(&self, start: PageStart, limit: u64) -> Result<(Page<Tenant>, u64), StoreError> {
        let transaction = self.begin_read().await?;
        let directory = directory::read(&transaction).await?;
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
        Ok((page, number_from_row(directory.tenant_total)?))
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
                // Connections that were opened while the server was read-only may stay read-only. Replace them: a change on one of
                // them would fail.
                self.guard.doubt();
            }
            return Ok(());
        }
        tenant::Entity::find().limit(1).one(&self.connection).await.map(drop).map_err(translate)
    }
}
