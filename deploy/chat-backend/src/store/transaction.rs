//! Transactions that write: on SQLite one at a time.

use database::{CommitError, Guarded};
use sea_orm::{DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions};
use service::ApiError;
use wire::ErrorCode;

use super::error::{StoreError, unavailable};

/// A transaction.
pub(crate) type Transaction = Guarded<DatabaseTransaction>;

/// Begins one. On SQLite it takes the one writer's place at once, so that it does not fail half-way. On PostgreSQL each statement sees what
/// was committed before it: so what follows a row's lock sees the row as its last holder left it.
pub(super) async fn begin(connection: &Guarded<DatabaseConnection>) -> Result<Transaction, StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    connection.begin(options).await
}

/// Commits. If this succeeds, the transaction is committed.
pub(crate) async fn commit(transaction: Transaction) -> Result<(), ApiError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) => unavailable(error),
        CommitError::Unknown(error) => ApiError::new(
            ErrorCode::OutcomeUnknown,
            "The database's answer was lost: it may have been written, or not. Look before you repeat it.",
        )
        .caused_by(error),
    })
}
