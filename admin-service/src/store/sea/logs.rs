//! The two logs in the database: the history of changes, and events that change nothing. Both are chained: see [`crate::log_chain`].

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _, prelude::*};
use wire::{TenantId, time::from_unix_ms};

use super::{
    chain,
    connection::{SeaStore, commit, translate},
    paging::cut,
    values::{broken_row, number_from_row, stored_number, stored_time},
    verify::look_at_access,
};
use crate::{
    domain::{access::RecordedAccess, audit::RecordedAudit},
    log_chain::{self, Anchor, Head, Log, Sealed, Verification},
    store::{
        entity::{access_log, audit_log, log_chain as chain_row},
        error::StoreError,
        page::Page,
        ports::LogStore,
    },
};

/// Rows that are removed at once.
const AT_ONCE: u64 = 1000;

impl TryFrom<audit_log::Model> for RecordedAudit {
    type Error = StoreError;

    fn try_from(row: audit_log::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            actor: row.actor,
            action: row.action,
            request_id: row.request_id,
            subject: row.subject,
            changed_fields: serde_json::from_value(row.changed_fields)
                .map_err(|error| broken_row("audit_log.changed_fields", error))?,
            occurred_at: from_unix_ms(row.occurred_at),
        })
    }
}

impl TryFrom<access_log::Model> for RecordedAccess {
    type Error = StoreError;

    fn try_from(row: access_log::Model) -> Result<Self, StoreError> {
        Ok(Self {
            kind: row.kind,
            tenant_id: row.tenant_id.map(TenantId::from),
            actor: row.actor,
            subject: row.subject,
            address: row.address,
            request_id: row.request_id,
            count: number_from_row(row.count)?,
            occurred_at: from_unix_ms(row.occurred_at),
        })
    }
}

#[async_trait]
impl LogStore for SeaStore {
    async fn audit_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAudit, u64>, StoreError> {
        let mut query = audit_log::Entity::find().order_by_desc(audit_log::Column::Revision).limit(limit + 1);
        if let Some(tenant_id) = tenant_id {
            query = query.filter(audit_log::Column::TenantId.eq(tenant_id.as_uuid()));
        }
        if let Some(after) = after {
            // A cursor beyond any revision is below none.
            query = query.filter(audit_log::Column::Revision.lt(stored_number(after)));
        }
        let rows = query.all(&self.connection).await.map_err(translate)?;
        cut(rows, limit, |row| u64::try_from(row.revision).unwrap_or_default())
    }

    async fn access_log(
        &self,
        tenant_id: Option<TenantId>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Page<RecordedAccess, u64>, StoreError> {
        let mut query = access_log::Entity::find().order_by_desc(access_log::Column::Number).limit(limit + 1);
        if let Some(tenant_id) = tenant_id {
            query = query.filter(access_log::Column::TenantId.eq(tenant_id.as_uuid()));
        }
        if let Some(after) = after {
            query = query.filter(access_log::Column::Number.lt(stored_number(after)));
        }
        let rows = query.all(&self.connection).await.map_err(translate)?;
        cut(rows, limit, |row| u64::try_from(row.number).unwrap_or_default())
    }

    async fn write_access(&self, entries: &[RecordedAccess]) -> Result<(), StoreError> {
        let transaction = self.begin_write().await?;
        let mut head = chain::lock_head(&self.keys, &transaction, Log::Access, 0).await?;
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let number = head.number + 1;
            let Sealed { key_id, mac } = log_chain::seal(&self.keys, &head.link, number, entry);
            head = Head { number, link: mac };
            rows.push(access_log::ActiveModel {
                number: Set(stored_number(number)),
                kind: Set(entry.kind.clone()),
                tenant_id: Set(entry.tenant_id.map(|id| id.as_uuid())),
                actor: Set(entry.actor.clone()),
                subject: Set(entry.subject.clone()),
                address: Set(entry.address.clone()),
                request_id: Set(entry.request_id.clone()),
                count: Set(stored_number(entry.count)),
                occurred_at: Set(stored_time(entry.occurred_at)),
                chain_key: Set(key_id),
                mac: Set(mac.to_vec()),
            });
        }
        for some in rows.chunks(200) {
            access_log::Entity::insert_many(some.iter().cloned())
                .exec_without_returning(&transaction)
                .await
                .map_err(translate)?;
        }
        chain::move_head(&transaction, Log::Access, head).await?;
        commit(transaction).await
    }

    async fn prune_access(&self, before: Timestamp) -> Result<bool, StoreError> {
        let transaction = self.begin_write().await?;
        // Locked before the rows are read: a replica that writes rows locks it too.
        chain::lock_head(&self.keys, &transaction, Log::Access, 0).await?;
        let found = chain_row::Entity::find_by_id(Log::Access.as_str()).one(&transaction).await.map_err(translate)?;
        let before_pruning = found.as_ref().map(chain::anchor).transpose()?;
        // By number, and only up to the first row that is kept: what is left has no gap.
        let oldest = access_log::Entity::find()
            .order_by_asc(access_log::Column::Number)
            .limit(AT_ONCE)
            .all(&transaction)
            .await
            .map_err(translate)?;
        let old: Vec<_> = oldest.into_iter().take_while(|row| row.occurred_at < stored_time(before)).collect();
        let Some(last) = old.last().cloned() else {
            transaction.rollback().await.map_err(translate)?;
            return Ok(false);
        };
        // Verify the rows before they are removed: otherwise the new seal would vouch for a row that was altered.
        let mut verification = Verification::begin(&self.keys, Log::Access, before_pruning.as_ref(), None);
        for row in old {
            look_at_access(&mut verification, row)?;
        }
        if let Some(problem) = verification.end(None).problems.into_iter().next() {
            transaction.rollback().await.map_err(translate)?;
            return Err(StoreError::Broken(format!("access_log is not pruned: {problem}")));
        }
        let (through, link) = (number_from_row(last.number)?, chain::link("access_log", &last.mac)?);
        chain::move_anchor(&transaction, Log::Access, Anchor::new(&self.keys, Log::Access, through, link)).await?;
        access_log::Entity::delete_many()
            .filter(access_log::Column::Number.lte(last.number))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        commit(transaction).await?;
        Ok(true)
    }

    async fn log_heads(&self) -> Result<Vec<(Log, Head)>, StoreError> {
        let rows = chain_row::Entity::find().all(&self.connection).await.map_err(translate)?;
        rows.iter()
            .filter_map(|row| {
                let log = [Log::Audit, Log::Access].into_iter().find(|log| log.as_str() == row.log)?;
                Some(chain::head(row).map(|head| (log, head)))
            })
            .collect()
    }
}
