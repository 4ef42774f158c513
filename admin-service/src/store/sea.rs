//! The store over SQLite and PostgreSQL, by sea-orm. Database errors are translated here and nowhere else.

use std::{
    fs::File,
    sync::{Arc, atomic::AtomicBool},
};

use jiff::Timestamp;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqlErr, SqliteTransactionMode, TransactionOptions, prelude::*,
    sea_query::ExprTrait as _,
};

use super::{StoreError, entity::directory, stored_time};
use database::{Anchor, CommitError, Guard, Guarded, Trouble};

use crate::sealing::MasterKeys;

mod account_keys;
mod bots;
mod logs;
mod operators;
mod propagation;
mod signing_keys;
mod tenants;
mod visitors;
mod widgets;

pub(crate) use logs::verify;
pub(super) use propagation::{NotListening, is_lent_session, listener};

/// The only row of `directory`.
const DIRECTORY: i32 = 1;

/// A transaction.
type Transaction = Guarded<DatabaseTransaction>;

/// The store.
#[derive(Clone, Debug)]
pub struct SeaStore {
    connection: Guarded<DatabaseConnection>,
    guard: Guard,
    /// What the rows of logs are chained with.
    keys: MasterKeys,
    kept: Arc<Kept>,
}

/// What is kept for as long as the store.
#[derive(Debug)]
pub(super) struct Kept {
    /// Whose a SQLite file is.
    pub(super) _lock: Option<File>,
    /// Whether the server could only be read when it was last looked at.
    pub(super) was_read_only: AtomicBool,
    /// What keeps a SQLite file usable on a full disk.
    pub(super) anchor: tokio::sync::Mutex<Anchor>,
}

impl SeaStore {
    pub(super) fn new(connection: Guarded<DatabaseConnection>, guard: Guard, keys: MasterKeys, kept: Kept) -> Self {
        Self { connection, guard, keys, kept: Arc::new(kept) }
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

/// Takes the next revision. The row stays locked until the transaction commits, so revisions commit in their order. The
/// caller must write the revision's audit row ([`SeaStore::write_audit`]): the log is the directory's history, and has no gaps.
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
    match database::trouble(&error) {
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
