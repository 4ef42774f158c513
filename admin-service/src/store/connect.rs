//! Opening the database: pool bounds, durability, one owner of a SQLite file, migrations that several replicas may
//! start at once.

use std::{fs::File, os::unix::fs::OpenOptionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions, TransactionTrait as _,
};
use sea_orm_migration::MigratorTrait as _;
use secrecy::ExposeSecret as _;

use super::{SeaStore, migration::Migrator};
use crate::config::DatabaseConfig;

/// The PostgreSQL advisory lock that migrating replicas queue for. Any number that is only ours.
const MIGRATION_LOCK: i64 = 0x6368_6174_7265_6c61;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Another process has the SQLite file.
    #[error("{} is in use by another process: one admin service owns a SQLite database (use PostgreSQL for replicas)", .0.display())]
    InUse(PathBuf),
    /// The database's file or the lock file beside it cannot be made.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refuses or cannot be reached.
    #[error("cannot open the database: {0}")]
    Database(#[from] DbErr),
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// [`ConnectError`]. The URL, which may hold a password, is not in it.
pub async fn connect(config: &DatabaseConfig) -> Result<SeaStore, ConnectError> {
    let lock = config.sqlite_file().map(lock).transpose()?;
    let mut options = ConnectOptions::new(config.url.expose_secret());
    let statement_timeout = config.statement_timeout;
    options
        .max_connections(config.max_connections)
        .acquire_timeout(statement_timeout)
        .connect_timeout(Duration::from_secs(10))
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .pragma("journal_mode", "WAL")
                // What was acknowledged survives a power cut, not only a crash.
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .busy_timeout(statement_timeout)
        })
        .map_sqlx_postgres_opts(move |postgres| {
            let timeout = format!("{}ms", statement_timeout.as_millis());
            postgres.options([("statement_timeout", timeout.as_str()), ("lock_timeout", timeout.as_str())])
        });
    let connection = Database::connect(options).await?;
    migrate(&connection).await?;
    Ok(SeaStore::new(connection, lock.map(Arc::new)))
}

/// Takes the file beside the database that says whose it is. The system frees it when the process ends, however it ends.
fn lock(database: PathBuf) -> Result<File, ConnectError> {
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    let lock = open_private(PathBuf::from(path))?;
    match lock.try_lock() {
        Ok(()) => {
            // SQLite gives its log the mode of its file.
            open_private(database)?;
            Ok(lock)
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(ConnectError::InUse(database)),
        Err(std::fs::TryLockError::Error(source)) => Err(ConnectError::File { path: database, source }),
    }
}

/// Opens a file, making it for its owner alone where it is not there.
fn open_private(path: PathBuf) -> Result<File, ConnectError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(&path).map_err(|source| ConnectError::File { path, source })
}

/// Brings the schema up to date in one transaction, so that a process killed in the middle leaves nothing behind.
async fn migrate(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    if connection.get_database_backend() == DbBackend::Postgres {
        // Replicas that start together migrate one after the other; waiting for that, and an index over a million
        // rows, may take longer than any statement of a call.
        for sql in [
            "SET LOCAL statement_timeout = 0".to_owned(),
            "SET LOCAL lock_timeout = 0".to_owned(),
            format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"),
        ] {
            transaction.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        }
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}
