//! The store's connections and transactions. Database errors are translated here and nowhere else.

use std::{
    fs::File,
    sync::{Arc, atomic::AtomicBool},
};

use database::{Anchor, CommitError, Guard, Guarded, Trouble};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, SqlErr, SqliteTransactionMode, TransactionOptions};

use crate::{sealing::MasterKeys, store::error::StoreError};

/// A transaction. Dropped, it is rolled back.
pub(super) type Transaction = Guarded<DatabaseTransaction>;

/// The store.
#[derive(Clone, Debug)]
pub struct SeaStore {
    pub(super) connection: Guarded<DatabaseConnection>,
    pub(super) guard: Guard,
    /// The MACs of the logs' rows are made with these.
    pub(super) keys: MasterKeys,
    pub(super) kept: Arc<Kept>,
}

/// What is kept for as long as the store.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The lock of the process that owns a SQLite file.
    pub(crate) _lock: Option<File>,
    /// Whether the server could only be read when it was last looked at.
    pub(crate) was_read_only: AtomicBool,
    /// What keeps a SQLite file usable on a full disk.
    pub(crate) anchor: tokio::sync::Mutex<Anchor>,
}

impl SeaStore {
    pub(crate) fn new(connection: Guarded<DatabaseConnection>, guard: Guard, keys: MasterKeys, kept: Kept) -> Self {
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
    pub(super) async fn begin_write(&self) -> Result<Transaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.connection.begin(options).await.map_err(translate)
    }

    /// A transaction that only reads.
    pub(super) async fn begin_read(&self) -> Result<Transaction, StoreError> {
        self.connection.begin(TransactionOptions::default()).await.map_err(translate)
    }
}

/// What a database error means to a use case.
pub(super) fn translate(error: DbErr) -> StoreError {
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
pub(super) async fn end_read(transaction: Transaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => translate(error),
    })
}

/// Commits: where this succeeds, it is committed.
pub(super) async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) => translate(error),
        CommitError::Unknown(error) => StoreError::Unknown(error.to_string()),
    })
}
