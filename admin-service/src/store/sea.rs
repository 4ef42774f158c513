//! The store over SQLite and PostgreSQL, by sea-orm. Database errors are translated here and nowhere else.

use std::{fs::File, sync::Arc};

use jiff::Timestamp;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqlErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _, prelude::*, sea_query::ExprTrait as _,
};

use super::{
    StoreError,
    entity::{audit_log, directory},
    stored_time,
};
use crate::domain::audit::AuditEntry;

mod account_keys;
mod bots;
mod operators;
mod propagation;
mod signing_keys;
mod tenants;
mod visitors;
mod widgets;

/// The only row of `directory`.
const DIRECTORY: i32 = 1;

/// The store.
#[derive(Clone, Debug)]
pub struct SeaStore {
    connection: DatabaseConnection,
    /// Held for as long as the store: whose a SQLite file is.
    _lock: Option<Arc<File>>,
}

impl SeaStore {
    pub(super) fn new(connection: DatabaseConnection, lock: Option<Arc<File>>) -> Self {
        Self { connection, _lock: lock }
    }

    /// Closes every connection; SQLite folds its log into the file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(translate)
    }

    /// A transaction that means to write: SQLite takes its one writer's place at once, rather than fail half-way.
    async fn begin_write(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.connection.begin_with_options(options).await.map_err(translate)
    }
}

/// Takes the next revision. The row stays locked until the transaction commits, so revisions commit in their order. Whoever
/// takes one writes its audit row: the log is the directory's history, and has no gaps.
async fn next_revision(transaction: &DatabaseTransaction, new_tenants: i64) -> Result<i64, StoreError> {
    let rows = directory::Entity::update_many()
        .col_expr(directory::Column::Revision, Expr::col(directory::Column::Revision).add(1))
        .col_expr(directory::Column::TenantTotal, Expr::col(directory::Column::TenantTotal).add(new_tenants))
        .filter(directory::Column::Id.eq(DIRECTORY))
        .exec_with_returning(transaction)
        .await
        .map_err(translate)?;
    rows.first().map(|row| row.revision).ok_or_else(|| StoreError::Broken("directory has no row".to_owned()))
}

async fn current_directory(transaction: &DatabaseTransaction) -> Result<directory::Model, StoreError> {
    directory::Entity::find_by_id(DIRECTORY)
        .one(transaction)
        .await
        .map_err(translate)?
        .ok_or_else(|| StoreError::Broken("directory has no row".to_owned()))
}

/// Writes the row of the change that took `revision`, and has the other replicas told once it is committed.
async fn write_audit(
    transaction: &DatabaseTransaction,
    entry: AuditEntry,
    revision: i64,
    at: Timestamp,
) -> Result<(), StoreError> {
    use sea_orm::ActiveValue::Set;
    let row = audit_log::ActiveModel {
        id: Set(Uuid::now_v7()),
        tenant_id: Set(entry.tenant_id.as_uuid()),
        actor: Set(entry.caller.actor),
        action: Set(entry.action.as_str().to_owned()),
        request_id: Set(entry.caller.request_id),
        changed_fields: Set(serde_json::json!(entry.changed_fields)),
        occurred_at: Set(stored_time(at)),
        revision: Set(revision),
    };
    audit_log::Entity::insert(row).exec_without_returning(transaction).await.map_err(translate)?;
    propagation::signal(transaction).await
}

/// Notes when rows were last used; a later use that another replica has noted stands.
async fn note_last_used<E: EntityTrait>(
    store: &SeaStore,
    (id, last_used_at): (E::Column, E::Column),
    used: &[(Uuid, Timestamp)],
) -> Result<(), StoreError> {
    let transaction = store.connection.begin().await.map_err(translate)?;
    for (key, at) in used {
        E::update_many()
            .col_expr(last_used_at, stored_time(*at).into())
            .filter(id.eq(*key))
            .filter(last_used_at.is_null().or(last_used_at.lt(stored_time(*at))))
            .exec(&transaction)
            .await
            .map_err(translate)?;
    }
    transaction.commit().await.map_err(translate)
}

fn revision_from_row(revision: i64) -> Result<u64, StoreError> {
    u64::try_from(revision).map_err(|_| StoreError::Broken(format!("revision {revision}")))
}

fn broken_row(table: &'static str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!("{table}: {what}"))
}

/// What a database error means to a use case.
fn translate(error: DbErr) -> StoreError {
    if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) {
        return StoreError::Conflict;
    }
    match &error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => StoreError::Unavailable(error.to_string()),
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
            if is_transient(cause) {
                StoreError::Unavailable(error.to_string())
            } else {
                StoreError::Broken(error.to_string())
            }
        }
        _ => StoreError::Broken(error.to_string()),
    }
}

fn is_transient(cause: &sea_orm::SqlxError) -> bool {
    use sea_orm::SqlxError as E;
    match cause {
        E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => true,
        E::Database(database) => database.code().is_some_and(|code| {
            // PostgreSQL: connection trouble, shutting down, cancelled by a timeout, serialisation. SQLite: busy, locked,
            // and their extended codes.
            code.starts_with("08")
                || code.starts_with("57")
                || code.starts_with("53")
                || matches!(code.as_ref(), "40001" | "40P01" | "55P03" | "5" | "6" | "261" | "517" | "773")
        }),
        _ => false,
    }
}
