//! The two logs in the database: the history of changes, and what is no change. Both are chained: see [`crate::log_chain`].

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, DatabaseConnection, QueryOrder as _, QuerySelect as _, TransactionTrait as _, prelude::*,
};
use wire::{TenantId, time::from_unix_ms};

use super::{SeaStore, Transaction, broken_row, commit, propagation, revision_from_row, tenants::cut, translate};
use crate::{
    domain::{
        access::RecordedAccess,
        audit::{AuditEntry, RecordedAudit},
    },
    log_chain::{self, Anchor, Head, Link, Log, Report, Row, Sealed, Verification},
    sealing::MasterKeys,
    store::{
        LogStore, Page, StoreError,
        entity::{access_log, audit_log, log_chain as chain},
        stored_time,
    },
};

/// Rows that are verified or removed at once.
const AT_ONCE: u64 = 1000;

impl SeaStore {
    /// Writes the row of the change that took `revision`, and has the other replicas told once it is committed. Changes take turns
    /// at the directory's row, so the chain has one newest row.
    pub(super) async fn write_audit(
        &self,
        transaction: &Transaction,
        entry: AuditEntry,
        revision: i64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let row = RecordedAudit {
            id: Uuid::now_v7(),
            tenant_id: entry.tenant_id,
            actor: entry.caller.actor,
            action: entry.action.as_str().to_owned(),
            request_id: entry.caller.request_id,
            changed_fields: entry.changed_fields,
            occurred_at: at,
        };
        let number = revision_from_row(revision)?;
        // If there are earlier rows and no head, a version that did not chain rows wrote them.
        let head = self.chain_head(transaction, Log::Audit, number - 1).await?;
        let Sealed { key_id, mac } = log_chain::seal(&self.keys, &head.link, number, &row);
        let model = audit_log::ActiveModel {
            id: Set(row.id),
            tenant_id: Set(row.tenant_id.as_uuid()),
            actor: Set(row.actor),
            action: Set(row.action),
            request_id: Set(row.request_id),
            changed_fields: Set(serde_json::json!(row.changed_fields)),
            occurred_at: Set(stored_time(at)),
            revision: Set(revision),
            chain_key: Set(Some(key_id)),
            mac: Set(Some(mac.to_vec())),
        };
        audit_log::Entity::insert(model).exec_without_returning(transaction).await.map_err(translate)?;
        move_head(transaction, Log::Audit, Head { number, link: mac }).await?;
        propagation::signal(transaction).await
    }

    /// The newest chained row of a log, locked until the transaction ends. Where there is none yet, the chain begins after
    /// `through`.
    async fn chain_head(&self, transaction: &Transaction, log: Log, through: u64) -> Result<Head, StoreError> {
        let found =
            chain::Entity::find_by_id(log.as_str()).lock_exclusive().one(transaction).await.map_err(translate)?;
        if let Some(found) = found {
            return head(&found);
        }
        if through > 0 {
            // Right after an upgrade. At any other time somebody has deleted the row that says where the chain begins.
            tracing::warn!(target: "audit", log = log.as_str(), through, "the log's chain begins after this row: what is before it cannot be verified");
        }
        let link = Link::default();
        let anchor = Anchor::new(&self.keys, log, through, link);
        let made = anchor_row(log, &anchor, through, &link);
        chain::Entity::insert(made).exec_without_returning(transaction).await.map_err(translate)?;
        Ok(Head { number: through, link })
    }
}

fn anchor_row(log: Log, anchor: &Anchor, number: u64, link: &Link) -> chain::ActiveModel {
    let Anchor { through, link: anchor_link, sealed } = anchor;
    chain::ActiveModel {
        log: Set(log.as_str().to_owned()),
        number: Set(stored(number)),
        link: Set(link.to_vec()),
        anchor_through: Set(stored(*through)),
        anchor_link: Set(anchor_link.to_vec()),
        anchor_key: Set(sealed.key_id.clone()),
        anchor_mac: Set(sealed.mac.to_vec()),
    }
}

async fn move_head(transaction: &Transaction, log: Log, head: Head) -> Result<(), StoreError> {
    let moved = chain::ActiveModel {
        log: Set(log.as_str().to_owned()),
        number: Set(stored(head.number)),
        link: Set(head.link.to_vec()),
        ..Default::default()
    };
    chain::Entity::update(moved).exec(transaction).await.map(drop).map_err(translate)
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn link(table: &'static str, bytes: &[u8]) -> Result<Link, StoreError> {
    bytes.try_into().map_err(|_| broken_row(table, "a MAC that has not 32 bytes"))
}

fn head(row: &chain::Model) -> Result<Head, StoreError> {
    Ok(Head { number: revision_from_row(row.number)?, link: link("log_chain", &row.link)? })
}

fn anchor(row: &chain::Model) -> Result<Anchor, StoreError> {
    Ok(Anchor {
        through: revision_from_row(row.anchor_through)?,
        link: link("log_chain", &row.anchor_link)?,
        sealed: Sealed { key_id: row.anchor_key.clone(), mac: link("log_chain", &row.anchor_mac)? },
    })
}

impl TryFrom<audit_log::Model> for RecordedAudit {
    type Error = StoreError;

    fn try_from(row: audit_log::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            tenant_id: row.tenant_id.into(),
            actor: row.actor,
            action: row.action,
            request_id: row.request_id,
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
            count: revision_from_row(row.count)?,
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
            query = query.filter(audit_log::Column::Revision.lt(stored(after)));
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
            query = query.filter(access_log::Column::Number.lt(stored(after)));
        }
        let rows = query.all(&self.connection).await.map_err(translate)?;
        cut(rows, limit, |row| u64::try_from(row.number).unwrap_or_default())
    }

    async fn write_access(&self, entries: &[RecordedAccess]) -> Result<(), StoreError> {
        let transaction = self.begin_write().await?;
        let mut head = self.chain_head(&transaction, Log::Access, 0).await?;
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let number = head.number + 1;
            let Sealed { key_id, mac } = log_chain::seal(&self.keys, &head.link, number, entry);
            head = Head { number, link: mac };
            rows.push(access_log::ActiveModel {
                number: Set(stored(number)),
                kind: Set(entry.kind.clone()),
                tenant_id: Set(entry.tenant_id.map(|id| id.as_uuid())),
                actor: Set(entry.actor.clone()),
                subject: Set(entry.subject.clone()),
                address: Set(entry.address.clone()),
                request_id: Set(entry.request_id.clone()),
                count: Set(stored(entry.count)),
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
        move_head(&transaction, Log::Access, head).await?;
        commit(transaction).await
    }

    async fn prune_access(&self, before: Timestamp) -> Result<bool, StoreError> {
        let transaction = self.begin_write().await?;
        // Locked before the rows are read: a replica that writes rows locks it too.
        self.chain_head(&transaction, Log::Access, 0).await?;
        let found = chain::Entity::find_by_id(Log::Access.as_str()).one(&transaction).await.map_err(translate)?;
        let before_pruning = found.as_ref().map(anchor).transpose()?;
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
        let (through, link) = (revision_from_row(last.number)?, link("access_log", &last.mac)?);
        let Anchor { sealed, .. } = Anchor::new(&self.keys, Log::Access, through, link);
        let moved = chain::ActiveModel {
            log: Set(Log::Access.as_str().to_owned()),
            anchor_through: Set(last.number),
            anchor_link: Set(link.to_vec()),
            anchor_key: Set(sealed.key_id),
            anchor_mac: Set(sealed.mac.to_vec()),
            ..Default::default()
        };
        chain::Entity::update(moved).exec(&transaction).await.map_err(translate)?;
        access_log::Entity::delete_many()
            .filter(access_log::Column::Number.lte(last.number))
            .exec(&transaction)
            .await
            .map_err(translate)?;
        commit(transaction).await?;
        Ok(true)
    }

    async fn log_heads(&self) -> Result<Vec<(Log, Head)>, StoreError> {
        let rows = chain::Entity::find().all(&self.connection).await.map_err(translate)?;
        rows.iter()
            .filter_map(|row| {
                let log = [Log::Audit, Log::Access].into_iter().find(|log| log.as_str() == row.log)?;
                Some(head(row).map(|head| (log, head)))
            })
            .collect()
    }
}

/// Verifies a log, row after row, as of one moment.
pub(crate) async fn verify(
    connection: &DatabaseConnection,
    keys: &MasterKeys,
    log: Log,
    expected: Option<Head>,
) -> Result<Report, StoreError> {
    // A snapshot: a log that grows or is pruned meanwhile must not look altered.
    let isolation = sea_orm::IsolationLevel::RepeatableRead;
    let is_server = connection.get_database_backend() == sea_orm::DatabaseBackend::Postgres;
    let snapshot = connection.begin_with_config(is_server.then_some(isolation), None).await.map_err(translate)?;
    let found = chain::Entity::find_by_id(log.as_str()).one(&snapshot).await.map_err(translate)?;
    let anchor = found.as_ref().map(anchor).transpose()?;
    let mut verification = Verification::begin(keys, log, anchor.as_ref(), expected);
    match log {
        Log::Audit => {
            let page = |after: i64| {
                audit_log::Entity::find()
                    .filter(audit_log::Column::Revision.gt(after))
                    .order_by_asc(audit_log::Column::Revision)
                    .limit(AT_ONCE)
                    .all(&snapshot)
            };
            let mut after = i64::MIN;
            loop {
                let rows = page(after).await.map_err(translate)?;
                let Some(last) = rows.last() else { break };
                after = last.revision;
                for row in rows {
                    let (number, sealed) = (row.revision, row.mac.clone().zip(row.chain_key.clone()));
                    look_at::<RecordedAudit, _>(&mut verification, "audit_log", number, row, sealed)?;
                }
            }
        }
        Log::Access => {
            let page = |after: i64| {
                access_log::Entity::find()
                    .filter(access_log::Column::Number.gt(after))
                    .order_by_asc(access_log::Column::Number)
                    .limit(AT_ONCE)
                    .all(&snapshot)
            };
            let mut after = i64::MIN;
            loop {
                let rows = page(after).await.map_err(translate)?;
                let Some(last) = rows.last() else { break };
                after = last.number;
                for row in rows {
                    look_at_access(&mut verification, row)?;
                }
            }
        }
    }
    snapshot.rollback().await.map_err(translate)?;
    Ok(verification.end(found.as_ref().map(head).transpose()?))
}

fn look_at_access(verification: &mut Verification<'_>, row: access_log::Model) -> Result<(), StoreError> {
    let (number, sealed) = (row.number, Some((row.mac.clone(), row.chain_key.clone())));
    look_at::<RecordedAccess, _>(verification, "access_log", number, row, sealed)
}

fn look_at<R, M>(
    verification: &mut Verification<'_>,
    table: &'static str,
    number: i64,
    row: M,
    sealed: Option<(Vec<u8>, String)>,
) -> Result<(), StoreError>
where
    R: Row + TryFrom<M, Error = StoreError>,
{
    if number < 1 {
        verification.impossible(number);
        return Ok(());
    }
    let number = revision_from_row(number)?;
    // A MAC of another length is none of ours, and no reason to stop looking.
    let sealed = sealed.map(|(mac, key_id)| Sealed { key_id, mac: link(table, &mac).unwrap_or_default() });
    match R::try_from(row) {
        Ok(row) => verification.row(number, &row, sealed.as_ref()),
        Err(error) => verification.unreadable(number, &error, sealed.as_ref()),
    }
    Ok(())
}
