//! The store over SQLite and PostgreSQL, by sea-orm. Database errors are translated here and nowhere else.

use std::{fs::File, sync::Arc};

use jiff::Timestamp;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqlErr, SqliteTransactionMode, TransactionOptions, prelude::*,
    sea_query::ExprTrait as _,
};

use super::{
    StoreError,
    entity::{audit_log, directory},
    stored_time,
};
use crate::{
    domain::audit::AuditEntry,
    guarded::{self, Anchor, CommitError, Guard, Guarded, Trouble},
};

mod account_keys;
mod bots;
mod operators;
mod propagation;
mod signing_keys;
mod tenants;
mod visitors;
mod widgets;

pub(super) use propagation::{NotListening, listener};

/// The only row of `directory`.
const DIRECTORY: i32 = 1;

/// A transaction.
type Transaction = Guarded<DatabaseTransaction>;

/// The store.
#[derive(Clone, Debug)]
pub struct SeaStore {
    connection: Guarded<DatabaseConnection>,
    guard: Guard,
    kept: Arc<Kept>,
}

/// What is kept for as long as the store.
#[derive(Debug)]
pub(super) struct Kept {
    /// Whose a SQLite file is.
    pub(super) _lock: Option<File>,
    /// What keeps a SQLite file usable on a full disk.
    pub(super) anchor: tokio::sync::Mutex<Anchor>,
}

impl SeaStore {
    pub(super) fn new(connection: Guarded<DatabaseConnection>, guard: Guard, kept: Kept) -> Self {
        Self { connection, guard, kept: Arc::new(kept) }
    }

    /// Closes every connection; SQLite folds its log into the file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(self) -> Result<(), StoreError> {
        let closed = self.connection.close().await.map_err(translate);
        self.kept.anchor.lock().await.close().await.map_err(translate)?;
        closed
    }

    /// A transaction that means to write: SQLite takes its one writer's place at once, rather than fail half-way.
    async fn begin_write(&self) -> Result<Transaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.connection.begin(options).await.map_err(translate)
    }

    /// A transaction that only reads.
    async fn begin_read(&self) -> Result<Transaction, StoreError> {
        self.connection.begin(TransactionOptions::default()).await.map_err(translate)
    }
}

/// Takes the next revision. The row stays locked until the transaction commits, so revisions commit in their order. Whoever
/// takes one writes its audit row: the log is the directory's history, and has no gaps.
async fn next_revision(transaction: &Transaction, new_tenants: i64) -> Result<i64, StoreError> {
    let rows = directory::Entity::update_many()
        .col_expr(directory::Column::Revision, Expr::col(directory::Column::Revision).add(1))
        .col_expr(directory::Column::TenantTotal, Expr::col(directory::Column::TenantTotal).add(new_tenants))
        .filter(directory::Column::Id.eq(DIRECTORY))
        .exec_with_returning(transaction)
        .await
        .map_err(translate)?;
    rows.first().map(|row| row.revision).ok_or_else(|| StoreError::Broken("directory has no row".to_owned()))
}

async fn current_directory(transaction: &Transaction) -> Result<directory::Model, StoreError> {
    directory::Entity::find_by_id(DIRECTORY)
        .one(transaction)
        .await
        .map_err(translate)?
        .ok_or_else(|| StoreError::Broken("directory has no row".to_owned()))
}

/// Writes the row of the change that took `revision`, and has the other replicas told once it is committed.
async fn write_audit(
    transaction: &Transaction,
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
    let transaction = store.begin_write().await?;
    for (key, at) in used {
        E::update_many()
            .col_expr(last_used_at, stored_time(*at).into())
            .filter(id.eq(*key))
            .filter(last_used_at.is_null().or(last_used_at.lt(stored_time(*at))))
            .exec(&transaction)
            .await
            .map_err(translate)?;
    }
    commit(transaction).await
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
    match guarded::trouble(&error) {
        Trouble::Away => StoreError::Unavailable(error.to_string()),
        Trouble::NoChanges => StoreError::NoChanges(error.to_string()),
        Trouble::Refused => StoreError::Broken(error.to_string()),
    }
}

/// Ends a transaction that has only read: that its end is lost changes nothing.
async fn end_read(transaction: Transaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => translate(error),
    })
}

/// Commits: where this succeeds, it is committed.
async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) => translate(error),
        CommitError::Unknown(error) => StoreError::Unknown(error.to_string()),
    })
}
