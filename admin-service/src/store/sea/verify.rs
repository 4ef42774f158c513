//! Verifying a log: its rows, read in pages, against their links.

use sea_orm::{DatabaseConnection, QueryOrder as _, QuerySelect as _, TransactionTrait as _, prelude::*};

use super::{
    chain::{anchor, head, link},
    connection::translate,
    values::number_from_row,
};
use crate::{
    domain::{access::RecordedAccess, audit::RecordedAudit},
    log_chain::{Head, Log, Report, Row, Sealed, Verification},
    sealing::MasterKeys,
    store::{
        entity::{access_log, audit_log, log_chain as chain},
        error::StoreError,
    },
};

/// Rows that are read at once.
const AT_ONCE: u64 = 1000;

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

/// Looks at a row of the access log.
pub(super) fn look_at_access(verification: &mut Verification<'_>, row: access_log::Model) -> Result<(), StoreError> {
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
    let number = number_from_row(number)?;
    // A MAC of another length is none of ours, and no reason to stop looking.
    let sealed = sealed.map(|(mac, key_id)| Sealed { key_id, mac: link(table, &mac).unwrap_or_default() });
    match R::try_from(row) {
        Ok(row) => verification.row(number, &row, sealed.as_ref()),
        Err(error) => verification.unreadable(number, &error, sealed.as_ref()),
    }
    Ok(())
}
