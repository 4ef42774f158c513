//! The backend's SQLite file: opened durable, one writer at a time, SQL by hand since full-text search is SQL by hand.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    FromQueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _, Value,
};
use shared::{ApiError, ErrorCode};

/// The database failed.
pub type StoreError = DbErr;

/// The store.
#[derive(Clone, Debug)]
pub struct Store(DatabaseConnection);

impl Store {
    /// Opens the file, making it and its tables where they are not there.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url);
        options.max_connections(8).sqlx_logging(false).record_stmt_in_spans(false).map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .busy_timeout(Duration::from_secs(5))
        });
        let connection = Database::connect(options).await?;
        let store = Self(connection);
        let transaction = store.begin().await?;
        upgrade(&transaction).await?;
        transaction.commit().await?;
        Ok(store)
    }

    /// Closes the file: SQLite folds its log into it.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        self.0.close().await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }

    /// A transaction that means to write: it takes the one writer's place at once, rather than fail half-way.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.0.begin_with_options(options).await
    }

    pub(super) fn reader(&self) -> &DatabaseConnection {
        &self.0
    }
}

/// The schema in steps: the file says how many it has taken. A step that has landed is never edited.
const STEPS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema_2_sockets.sql")];

async fn upgrade(transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Version {
        user_version: i64,
    }
    let version: Option<Version> = one(transaction, "PRAGMA user_version", []).await?;
    let taken = usize::try_from(version.map_or(0, |version| version.user_version)).unwrap_or_default();
    for step in STEPS.iter().skip(taken) {
        transaction.execute_unprepared(step).await?;
    }
    if taken < STEPS.len() {
        transaction.execute_unprepared(&format!("PRAGMA user_version = {}", STEPS.len())).await?;
    }
    Ok(())
}

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

pub(super) async fn all<T: FromQueryResult>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<T>, StoreError> {
    T::find_by_statement(statement(sql, values)).all(connection).await
}

pub(super) async fn one<T: FromQueryResult>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<T>, StoreError> {
    T::find_by_statement(statement(sql, values)).one(connection).await
}

pub(super) async fn execute(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    connection.execute_raw(statement(sql, values)).await.map(|done| done.rows_affected())
}

/// What the database's trouble means to a caller.
pub(super) fn unavailable(error: StoreError) -> ApiError {
    ApiError::new(ErrorCode::StoreUnavailable, "The chat backend's database does not answer. Try again.")
        .retry_after_seconds(1)
        .caused_by(error)
}
