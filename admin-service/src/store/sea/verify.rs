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
            let page = async |after| {
                let later = audit_log::Entity::find().filter(audit_log::Column::Revision.gt(after));
                later.order_by_asc(audit_log::Column::Revision).limit(AT_ONCE).all(&snapshot).await
            };
            each_row(page, |row| row.revision, |row| look_at_audit(&mut verification, row)).await?;
        }
        Log::Access => {
            let page = async |after| {
                let later = access_log::Entity::find().filter(access_log::Column::Number.gt(after));
                later.order_by_asc(access_log::Column::Number).limit(AT_ONCE).all(&snapshot).await
            };
            each_row(page, |row| row.number, |row| look_at_access(&mut verification, row)).await?;
        }
    }
    snapshot.rollback().await.map_err(translate)?;
    Ok(verification.end(found.as_ref().map(head).transpose()?))
}

/// Looks at every row of a log, in the order of numbers. `page` answers the rows after a number.
async fn each_row<M>(
    page: impl AsyncFn(i64) -> Result<Vec<M>, DbErr>,
    number: impl Fn(&M) -> i64,
    mut look_at: impl FnMut(M) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = i64::MIN;
    loop {
        let rows = page(after).await.map_err(translate)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = number(last);
        rows.into_iter().try_for_each(&mut look_at)?;
    }
}

/// Looks at a row of the audit log.
fn look_at_audit(verification: &mut Verification<'_>, row: audit_log::Model) -> Result<(), StoreError> {
    let (number, sealed) = (row.revision, row.mac.clone().zip(row.chain_key.clone()));
    look_at::<RecordedAudit, _>(verification, "audit_log", number, row, sealed)
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
    // A MAC of another length cannot be right. Zeros in its place do not match either, so the row is reported and the next one is read.
    let sealed = sealed.map(|(mac, key_id)| Sealed { key_id, mac: link(table, &mac).unwrap_or_default() });
    match R::try_from(row) {
        Ok(row) => verification.row(number, &row, sealed.as_ref()),
        Err(error) => verification.unreadable(number, &error, sealed.as_ref()),
    }
    Ok(())
}
