//! The chains of both logs in the database: their newest rows, their anchors, and the audit log's next row. What a link covers is in
//! [`crate::log_chain`].

use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, QuerySelect as _, prelude::*};

use super::{
    connection::{Transaction, translate},
    values::{broken_row, number_from_row, stored_number, stored_time},
};
use crate::{
    domain::audit::{AuditEntry, RecordedAudit},
    log_chain::{self, Anchor, Head, Link, Log, Sealed},
    sealing::MasterKeys,
    store::{
        entity::{audit_log, log_chain as chain},
        error::StoreError,
    },
};

/// Writes the audit row of the change that took `revision`. Changes take turns at the directory's row, so the chain has one newest
/// row.
pub(super) async fn append_audit(
    keys: &MasterKeys,
    transaction: &Transaction,
    entry: AuditEntry,
    revision: u64,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = RecordedAudit {
        id: Uuid::now_v7(),
        tenant_id: entry.tenant_id,
        actor: entry.caller.actor,
        action: entry.action.as_str().to_owned(),
        request_id: entry.caller.request_id,
        subject: entry.subject.map(|subject| subject.to_string()),
        changed_fields: entry.changed_fields,
        occurred_at: at,
    };
    // If there are earlier rows and no head, a version that did not chain rows wrote them.
    let newest = lock_head(keys, transaction, Log::Audit, revision - 1).await?;
    let Sealed { key_id, mac } = log_chain::seal(keys, &newest.link, revision, &row);
    let model = audit_log::ActiveModel {
        id: Set(row.id),
        tenant_id: Set(row.tenant_id.as_uuid()),
        actor: Set(row.actor),
        action: Set(row.action),
        request_id: Set(row.request_id),
        changed_fields: Set(serde_json::json!(row.changed_fields)),
        occurred_at: Set(stored_time(at)),
        revision: Set(stored_number(revision)),
        chain_key: Set(Some(key_id)),
        mac: Set(Some(mac.to_vec())),
        subject: Set(row.subject),
    };
    audit_log::Entity::insert(model).exec_without_returning(transaction).await.map_err(translate)?;
    move_head(transaction, Log::Audit, Head { number: revision, link: mac }).await
}

/// The newest chained row of a log, locked until the transaction ends. Where there is none yet, the chain begins after `through`.
pub(super) async fn lock_head(
    keys: &MasterKeys,
    transaction: &Transaction,
    log: Log,
    through: u64,
) -> Result<Head, StoreError> {
    let found = chain::Entity::find_by_id(log.as_str()).lock_exclusive().one(transaction).await.map_err(translate)?;
    if let Some(found) = found {
        return head(&found);
    }
    if through > 0 {
        // This happens right after an upgrade. At any other time it means that the row with the chain's beginning was deleted.
        tracing::warn!(target: "audit", log = log.as_str(), through, "the log's chain begins after this row: what is before it cannot be verified");
    }
    let link = Link::default();
    let anchor = Anchor::new(keys, log, through, link);
    let made = chain::ActiveModel {
        number: Set(stored_number(through)),
        link: Set(link.to_vec()),
        ..anchor_columns(log, anchor)
    };
    chain::Entity::insert(made).exec_without_returning(transaction).await.map_err(translate)?;
    Ok(Head { number: through, link })
}

/// Writes which row of a log is the newest.
pub(super) async fn move_head(transaction: &Transaction, log: Log, head: Head) -> Result<(), StoreError> {
    let moved = chain::ActiveModel {
        log: Set(log.as_str().to_owned()),
        number: Set(stored_number(head.number)),
        link: Set(head.link.to_vec()),
        ..Default::default()
    };
    chain::Entity::update(moved).exec(transaction).await.map(drop).map_err(translate)
}

/// Writes where a log's chain begins.
pub(super) async fn move_anchor(transaction: &Transaction, log: Log, anchor: Anchor) -> Result<(), StoreError> {
    chain::Entity::update(anchor_columns(log, anchor)).exec(transaction).await.map(drop).map_err(translate)
}

fn anchor_columns(log: Log, anchor: Anchor) -> chain::ActiveModel {
    let Anchor { through, link, sealed } = anchor;
    chain::ActiveModel {
        log: Set(log.as_str().to_owned()),
        anchor_through: Set(stored_number(through)),
        anchor_link: Set(link.to_vec()),
        anchor_key: Set(sealed.key_id),
        anchor_mac: Set(sealed.mac.to_vec()),
        ..Default::default()
    }
}

/// A MAC from its row.
pub(super) fn link(table: &'static str, bytes: &[u8]) -> Result<Link, StoreError> {
    bytes.try_into().map_err(|_| broken_row(table, "a MAC that has not 32 bytes"))
}

/// The newest row of a log, as `log_chain` names it.
pub(super) fn head(row: &chain::Model) -> Result<Head, StoreError> {
    Ok(Head { number: number_from_row(row.number)?, link: link("log_chain", &row.link)? })
}

/// Where a log's chain begins, as `log_chain` names it.
pub(super) fn anchor(row: &chain::Model) -> Result<Anchor, StoreError> {
    Ok(Anchor {
        through: number_from_row(row.anchor_through)?,
        link: link("log_chain", &row.anchor_link)?,
        sealed: Sealed { key_id: row.anchor_key.clone(), mac: link("log_chain", &row.anchor_mac)? },
    })
}
