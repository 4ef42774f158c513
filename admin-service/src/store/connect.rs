//! Opening the database: pool bounds, durability, one owner of a SQLite file, migrations that several replicas may
//! start at once.

use std::{
    fs::File, os::unix::fs::OpenOptionsExt as _, path::PathBuf, str::FromStr as _, sync::atomic::AtomicBool,
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode,
    SqlxError, Statement, TransactionOptions,
    sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions},
};
use sea_orm_migration::MigratorTrait as _;
use secrecy::ExposeSecret as _;

use super::{
    migration::Migrator,
    sea::{self, Kept, SeaStore},
};
use database::{Anchor, CommitError, Guard, Guarded, SqliteFile};

use crate::{config::DatabaseConfig, sealing::MasterKeys};

/// The PostgreSQL advisory lock that migrating replicas queue for. Any number that is only ours.
const MIGRATION_LOCK: i64 = 0x6368_6174_7265_6c61;

/// How long a database server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of a command that runs beside services.
pub(crate) type Connection = DatabaseConnection;

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
    /// The database server gives no connection.
    #[error("cannot open {database}: {reason}")]
    Away {
        /// The database, without its password.
        database: String,
        /// Why.
        reason: String,
    },
    /// The database's schema is of an older or a newer version.
    #[error(
        "the database was last opened by another version: run the command of the version that serves it, or start this version once"
    )]
    AnotherVersion,
    /// The database refuses.
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
    tracing::info!(database = describe(config), "the database is open");
    Ok(SeaStore::new(
        connection,
        guard,
        keys.clone(),
        Kept { _lock: lock, was_read_only: AtomicBool::new(false), anchor: tokio::sync::Mutex::new(anchor) },
    ))
}

/// Opens the database for reading, beside a service that may have it open. The schema is left as it is.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn connect_to_read(config: &DatabaseConfig) -> Result<DatabaseConnection, ConnectError> {
    connect_beside(config, true).await
}

/// The same, for changing rows of which no reader keeps a copy. The schema must be this version's: a newer one may keep something that this
/// version does not know.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn connect_to_change(config: &DatabaseConfig) -> Result<DatabaseConnection, ConnectError> {
    let connection = connect_beside(config, false).await?;
    let pending = Migrator::get_pending_migrations(&connection).await;
    if pending.is_ok_and(|pending| pending.is_empty()) { Ok(connection) } else { Err(ConnectError::AnotherVersion) }
}

/// What ends a session that holds locks: one that is paused or cut off in a transaction would keep others from changing anything.
fn session_timeouts(timeout: &str) -> [(&'static str, &str); 2] {
    [("lock_timeout", timeout), ("idle_in_transaction_session_timeout", timeout)]
}

async fn connect_beside(config: &DatabaseConfig, is_read_only: bool) -> Result<DatabaseConnection, ConnectError> {
    if !config.url.expose_secret().starts_with("sqlite:") {
        knock(config).await?;
    }
    let patience = config.statement_timeout;
    let mut options = ConnectOptions::new(config.url.expose_secret());
    options
        .max_connections(1)
        .connect_timeout(CONNECT_TIMEOUT)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite.read_only(is_read_only).create_if_missing(false).busy_timeout(patience)
        })
        .map_sqlx_postgres_opts(move |postgres| {
            postgres.options(session_timeouts(&format!("{}ms", patience.as_millis())))
        });
    Ok(Database::connect(options).await?)
}

/// Which database this is, without its password.
fn describe(config: &DatabaseConfig) -> String {
    let url = config.url.expose_secret();
    if url.starts_with("sqlite:") {
        return config.sqlite_file().map_or_else(
            || "SQLite in memory".to_owned(),
            |path| format!("SQLite at {}", std::path::absolute(&path).unwrap_or(path).display()),
        );
    }
    let Ok(options) = PgConnectOptions::from_str(url) else { return "PostgreSQL".to_owned() };
    let server = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| format!("{}:{}", socket.display(), options.get_port()),
    );
    let user = options.get_username();
    format!("PostgreSQL database {} at {server} as user {user}", options.get_database().unwrap_or(user))
}

/// Opens one connection and closes it: a pool would try again until its time-out and then tell nothing of what it met.
async fn knock(config: &DatabaseConfig) -> Result<(), ConnectError> {
    let away = |reason: String| ConnectError::Away { database: describe(config), reason };
    let options = PgConnectOptions::from_str(config.url.expose_secret())
        .map_err(|error| away(error.to_string()))?
        .disable_statement_logging();
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
            Ok(())
        }
        Ok(Err(SqlxError::Io(error))) => Err(away(io_reason(&error))),
        // It starts or stops, or has no room: a pool would try again until its time-out.
        Ok(Err(SqlxError::Database(error)))
            if error.code().is_some_and(|code| code.starts_with("57P") || code == "53300") =>
        {
            Err(away(error.message().to_owned()))
        }
        // The server answered with another error. The pool gets the same one at once, and its caller says what it means.
        Ok(Err(_)) => Ok(()),
        Err(_) => Err(away(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// The kind of an error, in a word where it has one.
fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::Other => error.to_string(),
        kind => kind.to_string(),
    }
}

async fn connect_to_server(
    config: &DatabaseConfig,
    guard: &Guard,
) -> Result<Guarded<DatabaseConnection>, ConnectError> {
    knock(config).await?;
    let mut options = ConnectOptions::new(config.url.expose_secret());
    let statement_timeout = config.statement_timeout;
    options
        .max_connections(config.max_connections)
        .acquire_timeout(statement_timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |postgres| {
            let timeout = format!("{}ms", statement_timeout.as_millis());
            let session = session_timeouts(&timeout);
            postgres.options(session).options([("statement_timeout", timeout.as_str())])
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
    let sea_orm::SqlxError::Database(database) = database::cause(error)? else { return None };
    let is_refusal = database.code().as_deref() == Some("08P01") && database.message().contains("startup parameter");
    is_refusal.then(|| database.message().to_owned())
}

/// What a session that others have used tells of a pooler.
const LENT: &str = "it lends one session to several clients, whose prepared statements it holds already";

/// Makes sure that a session is a session: that its settings are ours, and that what it listens for is heard.
async fn check_session(
    connection: &Guarded<DatabaseConnection>,
    statement_timeout: Duration,
) -> Result<(), ConnectError> {
    let sql = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'";
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.map_err(|error| {
        let is_lent = database::cause(&error).is_some_and(sea::is_lent_session);
        if is_lent { ConnectError::Pooler(LENT.to_owned()) } else { error.into() }
    })?;
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
        Err(sea::NotListening::Database(error)) => Err(database::conn_error(error).into()),
    }
}

/// Locks a file beside the database. One process at a time can hold the lock, so one process owns the database. The system frees the
/// lock when the process ends.
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
    let pending = Migrator::get_pending_migrations(transaction.inner()).await?;
    let pending: Vec<String> = pending.iter().map(|migration| migration.name().to_owned()).collect();
    Migrator::up(transaction.inner(), None).await?;
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => error,
    })?;
    if pending.is_empty() {
        tracing::info!("the database's schema is up to date: no migration ran");
    } else {
        tracing::info!(migrations = pending.join(", "), "migrations ran");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(url: &str) -> DatabaseConfig {
        DatabaseConfig { url: url.into(), max_connections: 2, statement_timeout: Duration::from_secs(5) }
    }

    #[test]
    fn a_database_is_described_without_its_password() {
        for (url, expected) in [
            ("postgres://me:hidden@db.example:6000/relay", "PostgreSQL database relay at db.example:6000 as user me"),
            ("postgres://me:hidden@localhost", "PostgreSQL database me at localhost:5432 as user me"),
            (
                "postgres://me@localhost/relay?host=/run/pg&password=hidden",
                "PostgreSQL database relay at /run/pg:5432 as user me",
            ),
            ("sqlite:///data/admin.db?mode=rwc", "SQLite at /data/admin.db"),
            ("sqlite::memory:", "SQLite in memory"),
        ] {
            assert_eq!(describe(&database(url)), expected);
        }
    }

    /// A pool would try such a server again until its own time is over, and then tell nothing of what it met.
    #[tokio::test]
    async fn a_server_that_is_starting_up_is_told_at_once_in_its_own_words() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 512];
            // It takes no TLS, and then no client.
            let _ = stream.read(&mut asked).await;
            stream.write_all(b"N").await.expect("sent");
            let _ = stream.read(&mut asked).await;
            let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
            let length = u32::try_from(fields.len() + 4).expect("short").to_be_bytes();
            stream.write_all(&[b"E", length.as_slice(), fields].concat()).await.expect("sent");
        });
        let keys: MasterKeys = "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ=".parse().expect("keys");
        let config = database(&format!("postgres://me:hidden@{address}/relay"));
        let connecting = connect(&config, &keys);
        let refused = tokio::time::timeout(Duration::from_secs(2), connecting).await.expect("at once");
        let said = refused.expect_err("refused").to_string();
        assert!(said.ends_with("the database system is starting up") && !said.contains("hidden"), "{said}");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let config = database(&format!("postgres://me:hidden@{address}/relay"));
        let keys: MasterKeys = "k1:K4ZVi+A880qJsRq/uygtyfYgIRmuvB+Up7k68nt5VwQ=".parse().expect("keys");
        let refused = tokio::time::timeout(Duration::from_secs(2), connect(&config, &keys)).await.expect("at once");
        let said = refused.expect_err("refused").to_string();
        assert_eq!(said, format!("cannot open PostgreSQL database relay at {address} as user me: connection refused"));
    }
}
