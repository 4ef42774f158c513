//! Opening the database: pool bounds, durability, one owner of a SQLite file, migrations that several replicas may
//! start at once.

use std::{fs::File, os::unix::fs::OpenOptionsExt as _, path::PathBuf, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode,
    Statement, TransactionOptions,
};
use sea_orm_migration::MigratorTrait as _;
use secrecy::ExposeSecret as _;

use super::{
    SeaStore,
    migration::Migrator,
    sea::{self, Kept},
};
use crate::{
    config::DatabaseConfig,
    guarded::{self, Anchor, CommitError, Guard, Guarded, SqliteFile},
    sealing::MasterKeys,
};

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
    /// A connection pooler stands before PostgreSQL, which gives each transaction another session.
    #[error(
        "database_url leads to a connection pooler: {0}. The admin service needs sessions of its own, for LISTEN and for its \
         settings: name the PostgreSQL server's own URL, usually on port 5432"
    )]
    Pooler(String),
    /// The database refuses or cannot be reached.
    #[error("cannot open the database: {0}")]
    Database(#[from] DbErr),
}

/// Opens the database and brings its schema up to date. The rows of its logs are chained with `keys`.
///
/// # Errors
/// [`ConnectError`]. The URL, which may hold a password, is not in it.
pub async fn connect(config: &DatabaseConfig, keys: &MasterKeys) -> Result<SeaStore, ConnectError> {
    let lock = config.sqlite_file().map(lock).transpose()?;
    let guard = Guard::default();
    let (connection, anchor) = if config.url.expose_secret().starts_with("sqlite:") {
        let file = SqliteFile {
            url: config.url.expose_secret().to_owned(),
            max_connections: config.max_connections,
            busy_timeout: config.statement_timeout,
        };
        file.open(&guard, migrate).await?
    } else {
        (connect_to_server(config, &guard).await?, Anchor::none())
    };
    Ok(SeaStore::new(connection, guard, keys.clone(), Kept { _lock: lock, anchor: tokio::sync::Mutex::new(anchor) }))
}

/// Opens the database for reading, beside a service that may have it open. The schema is left as it is.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn connect_to_read(config: &DatabaseConfig) -> Result<DatabaseConnection, ConnectError> {
    let url = match config.sqlite_file() {
        Some(file) => format!("sqlite://{}?mode=ro", file.display()),
        None => config.url.expose_secret().to_owned(),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).connect_timeout(Duration::from_secs(10)).sqlx_logging(false);
    Ok(Database::connect(options).await?)
}

async fn connect_to_server(
    config: &DatabaseConfig,
    guard: &Guard,
) -> Result<Guarded<DatabaseConnection>, ConnectError> {
    let mut options = ConnectOptions::new(config.url.expose_secret());
    let statement_timeout = config.statement_timeout;
    options
        .max_connections(config.max_connections)
        .acquire_timeout(statement_timeout)
        .connect_timeout(Duration::from_secs(10))
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |postgres| {
            let timeout = format!("{}ms", statement_timeout.as_millis());
            postgres.options([("statement_timeout", timeout.as_str()), ("lock_timeout", timeout.as_str())])
        });
    guard.install(&mut options);
    let connected = Database::connect(options).await.map_err(|error| match pooler_refusal(&error) {
        Some(refusal) => ConnectError::Pooler(refusal),
        None => error.into(),
    })?;
    let connection = guard.watch(connected);
    check_session(&connection, statement_timeout).await?;
    migrate(&connection).await?;
    Ok(connection)
}

/// What a pooler says to a startup parameter.
fn pooler_refusal(error: &DbErr) -> Option<String> {
    let sea_orm::SqlxError::Database(database) = guarded::cause(error)? else { return None };
    let is_refusal = database.code().as_deref() == Some("08P01") && database.message().contains("startup parameter");
    is_refusal.then(|| database.message().to_owned())
}

/// Makes sure that a session is a session: that its settings are ours, and that what it listens for is heard.
async fn check_session(
    connection: &Guarded<DatabaseConnection>,
    statement_timeout: Duration,
) -> Result<(), ConnectError> {
    let sql = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'";
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let setting: String =
        row.ok_or_else(|| DbErr::Custom("PostgreSQL has no statement_timeout".to_owned()))?.try_get("", "setting")?;
    if setting != statement_timeout.as_millis().to_string() {
        let evidence = format!("it drops startup options: statement_timeout is {setting} ms");
        return Err(ConnectError::Pooler(evidence));
    }
    match sea::listener(connection.inner()).await {
        Ok(_) => Ok(()),
        Err(sea::NotListening::Deaf) => {
            Err(ConnectError::Pooler("in transaction mode, LISTEN hears no NOTIFY".to_owned()))
        }
        Err(sea::NotListening::Database(error)) => Err(guarded::conn_error(error).into()),
    }
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
async fn migrate(connection: &Guarded<DatabaseConnection>) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin(options).await?;
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
    Migrator::up(transaction.inner(), None).await?;
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => error,
    })
}
