//! Database connections that are trusted only as long as nothing has gone wrong on them.
//!
//! When a disk is full, SQLite rolls a transaction back by itself; the driver's count of open transactions then stays one too
//! high, and whatever is written later on that connection is acknowledged and never committed. After a failover a connection to
//! PostgreSQL may lead to a server that takes no changes any more. So every error is looked at here: one that puts the
//! connections in doubt has all of them closed that were open at the time, before they serve again, and a connection that is
//! given back in the middle of a transaction never serves again.
//!
//! What is written, and for whom, is the caller's.

use std::{
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait as _,
    sqlx::{
        self, ConnectOptions as _, Connection as _, SqliteConnection,
        pool::PoolOptions,
        postgres::PgSeverity,
        sqlite::{SqliteConnectOptions, SqliteLockingMode},
    },
};
use tokio::sync::watch;

/// How often connections are put in doubt by what anybody may cause.
const DOUBT_EVERY: Duration = Duration::from_secs(1);

/// How long a connection that is given back may take to settle what it owes.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// What a database error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The database is away, busy, or shutting down: trying again may help.
    Away,
    /// The database takes no changes: its disk is full or failing, or it may only be read. Nothing was changed.
    NoChanges,
    /// A statement was refused for what it is: trying again does not help.
    Refused,
}

/// How a commit failed.
#[derive(Debug)]
pub enum CommitError {
    /// Nothing was committed.
    Failed(DbErr),
    /// The answer was lost: the transaction may have been committed, or not.
    Unknown(DbErr),
}

/// When connections were last put in doubt. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<watch::Sender<Option<Instant>>>);

impl Guard {
    /// Has the pools of these options close connections that may not serve again. Call it last: it replaces other hooks.
    pub fn install(&self, options: &mut ConnectOptions) {
        let (sqlite, postgres) = (self.clone(), self.clone());
        options.map_sqlx_sqlite_pool_opts(move |pool| sqlite.hook(pool));
        options.map_sqlx_postgres_pool_opts(move |pool| postgres.hook(pool));
    }

    /// Looks at a pool's connections when they are given back, and again before they serve.
    fn hook<DB: sqlx::Database>(&self, pool: PoolOptions<DB>) -> PoolOptions<DB> {
        let (released, acquired) = (self.clone(), self.clone());
        pool.after_release(move |connection, meta| {
            let guard = released.clone();
            Box::pin(async move { guard.settle(connection, meta.age).await })
        })
        .before_acquire(move |connection, meta| {
            let may_serve = !connection.is_in_transaction() && !acquired.doubts(meta.age);
            Box::pin(async move { Ok(may_serve) })
        })
    }

    /// Lets a connection that is given back do what it still owes, such as the rollback of a transaction that was dropped, and
    /// answers whether it may serve again.
    async fn settle<C: sqlx::Connection>(&self, connection: &mut C, age: Duration) -> Result<bool, sqlx::Error> {
        let begun = Instant::now();
        let settled = tokio::time::timeout(SETTLE_WITHIN, connection.ping()).await;
        settled.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(!connection.is_in_transaction() && !self.doubts(age + begun.elapsed()))
    }

    /// Connections that are open now do not serve again.
    pub fn doubt(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    /// The same, unless that was said a moment ago: for what anybody may cause.
    pub fn doubt_now_and_then(&self) {
        if self.0.borrow().is_none_or(|raised| raised.elapsed() > DOUBT_EVERY) {
            self.doubt();
        }
    }

    /// Returns once connections are put in doubt after this was called. Await it to give up a connection that no pool holds.
    pub fn doubted(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut raised = self.0.subscribe();
        async move {
            // The sender lives as long as the store.
            let _ = raised.changed().await;
        }
    }

    /// Whether a connection of this age was open when connections were put in doubt.
    fn doubts(&self, age: Duration) -> bool {
        self.0.borrow().is_some_and(|raised| age >= raised.elapsed())
    }

    /// Has the errors of a connection looked at.
    pub fn watch<C>(&self, inner: C) -> Guarded<C> {
        Guarded { inner, guard: self.clone(), has_failed: AtomicBool::new(false) }
    }

    fn note(&self, error: &DbErr) {
        // A connection that was not made says nothing of those that are.
        if !matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) && is_doubtful(error) {
            self.doubt();
        }
    }
}

/// How a SQLite file is opened.
#[derive(Clone, Debug)]
pub struct SqliteFile {
    /// `sqlite:` and the rest.
    pub url: String,
    /// Connections, at most.
    pub max_connections: u32,
    /// How long a statement may wait for another writer.
    pub busy_timeout: Duration,
}

/// One connection to a SQLite file that has read once and then serves nobody. While it is open, the small files that connections
/// share stay, so that others can be opened when the disk is full. Close it last.
#[derive(Debug)]
pub struct Anchor(Option<SqliteConnection>);

impl SqliteFile {
    /// Opens the file durably: what is acknowledged survives a power cut, not only a crash. `prepare` brings its schema up to
    /// date.
    ///
    /// A full disk has no room for the file by which connections share the database. Then it is opened for one connection alone,
    /// which needs none: it reads, and writes again once there is room.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(
        &self,
        guard: &Guard,
        prepare: impl AsyncFn(&Guarded<DatabaseConnection>) -> Result<(), DbErr>,
    ) -> Result<(Guarded<DatabaseConnection>, Anchor), DbErr> {
        match self.open_with(guard, SqliteLockingMode::Normal, &prepare).await {
            Ok(connection) => {
                let mut anchor = self.options(SqliteLockingMode::Normal)?.connect().await.map_err(conn_error)?;
                sqlx::query("SELECT COUNT(*) FROM sqlite_schema").fetch_one(&mut anchor).await.map_err(conn_error)?;
                Ok((connection, Anchor(Some(anchor))))
            }
            Err(error) if has_no_room(&error) => {
                let alone = self.open_with(guard, SqliteLockingMode::Exclusive, &prepare).await.map_err(|_| error)?;
                tracing::warn!("the database's disk seems to be full: one connection serves it until the next start");
                Ok((alone, Anchor(None)))
            }
            Err(error) => Err(error),
        }
    }

    async fn open_with(
        &self,
        guard: &Guard,
        locking: SqliteLockingMode,
        prepare: &impl AsyncFn(&Guarded<DatabaseConnection>) -> Result<(), DbErr>,
    ) -> Result<Guarded<DatabaseConnection>, DbErr> {
        let is_alone = locking == SqliteLockingMode::Exclusive;
        let mut options = ConnectOptions::new(&self.url);
        let made = self.options(locking)?;
        options
            .max_connections(if is_alone { 1 } else { self.max_connections })
            .acquire_timeout(self.busy_timeout)
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .map_sqlx_sqlite_opts(move |_| made.clone());
        guard.install(&mut options);
        let connection = guard.watch(Database::connect(options).await?);
        if let Err(error) = prepare(&connection).await {
            // It would keep others out.
            let _ = connection.close().await;
            return Err(error);
        }
        Ok(connection)
    }

    fn options(&self, locking: SqliteLockingMode) -> Result<SqliteConnectOptions, DbErr> {
        let options = SqliteConnectOptions::from_str(&self.url).map_err(conn_error)?;
        Ok(options
            .locking_mode(locking)
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
            .pragma("foreign_keys", "ON")
            .busy_timeout(self.busy_timeout)
            .disable_statement_logging())
    }
}

impl Anchor {
    /// Nothing is held: the database is no file.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Closes it. Where it was the last, SQLite folds its log into the file.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(&mut self) -> Result<(), DbErr> {
        match self.0.take() {
            Some(connection) => connection.close().await.map_err(conn_error),
            None => Ok(()),
        }
    }
}

/// A connection, or a transaction, whose errors are looked at.
#[derive(Debug)]
pub struct Guarded<C> {
    inner: C,
    guard: Guard,
    /// A statement has failed: there is nothing left to commit.
    has_failed: AtomicBool,
}

impl<C: Clone> Clone for Guarded<C> {
    fn clone(&self) -> Self {
        self.guard.watch(self.inner.clone())
    }
}

impl<C> Guarded<C> {
    fn noted<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &result {
            self.has_failed.store(true, Ordering::Relaxed);
            self.guard.note(error);
        }
        result
    }

    /// The connection itself.
    pub fn inner(&self) -> &C {
        &self.inner
    }
}

impl Guarded<DatabaseConnection> {
    /// Begins a transaction. It begins in a task of its own: where the caller leaves meanwhile, the task still drops the
    /// transaction, which rolls it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, options: TransactionOptions) -> Result<Guarded<DatabaseTransaction>, DbErr> {
        let connection = self.inner.clone();
        let beginning = tokio::spawn(async move { connection.begin_with_options(options).await });
        let begun = beginning.await.unwrap_or_else(|error| Err(DbErr::Custom(error.to_string())));
        Ok(self.guard.watch(self.noted(begun)?))
    }

    /// Closes every connection.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(self) -> Result<(), DbErr> {
        self.inner.close().await
    }
}

impl Guarded<DatabaseTransaction> {
    /// Commits. Where this returns `Ok`, the transaction was committed.
    ///
    /// # Errors
    /// [`CommitError`], which says whether it may have been.
    pub async fn commit(self) -> Result<(), CommitError> {
        let Self { inner, guard, has_failed } = self;
        if has_failed.into_inner() {
            // A server may answer COMMIT after an error with success, and roll back.
            drop(inner);
            return Err(CommitError::Failed(DbErr::Custom("a statement of the transaction had failed".to_owned())));
        }
        inner.commit().await.map_err(|error| {
            guard.note(&error);
            if may_have_committed(&error) { CommitError::Unknown(error) } else { CommitError::Failed(error) }
        })
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let Self { inner, guard, .. } = self;
        inner.rollback().await.inspect_err(|_| guard.doubt())
    }
}

#[async_trait]
impl<C: ConnectionTrait + Send> ConnectionTrait for Guarded<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.noted(self.inner.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.noted(self.inner.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.noted(self.inner.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.noted(self.inner.query_all_raw(statement).await)
    }
}

/// The driver's error in a database error.
#[must_use]
pub fn cause(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// A driver's error as a database error.
#[must_use]
pub fn conn_error(cause: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(cause)))
}

/// The primary result code of an error of SQLite's (sqlite.org/rescode.html); its extended codes hold it in their lowest byte.
fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<u32> {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_NOMEM: u32 = 7;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;

/// What a database error means.
#[must_use]
pub fn trouble(error: &DbErr) -> Trouble {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return Trouble::Away;
    }
    let Some(cause) = cause(error) else { return Trouble::Refused };
    match cause {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Trouble::Away,
        sqlx::Error::Database(database) => match sqlite_code(database.as_ref()) {
            Some(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_CANTOPEN) => Trouble::Away,
            Some(SQLITE_NOMEM | SQLITE_READONLY | SQLITE_IOERR | SQLITE_FULL) => Trouble::NoChanges,
            Some(_) => Trouble::Refused,
            None => postgres_trouble(&database.code().unwrap_or_default()),
        },
        _ => Trouble::Refused,
    }
}

/// By SQLSTATE (PostgreSQL's manual, appendix A).
fn postgres_trouble(code: &str) -> Trouble {
    match code {
        // The server may only be read, as after a failover; or its disk is full.
        "25006" | "53100" => Trouble::NoChanges,
        "40001" | "40P01" | "55P03" => Trouble::Away,
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Trouble::Away,
        _ => Trouble::Refused,
    }
}

/// Whether SQLite could not make the file by which connections share a database.
fn has_no_room(error: &DbErr) -> bool {
    let Some(sqlx::Error::Database(database)) = cause(error) else { return false };
    sqlite_code(database.as_ref()).is_some_and(|code| matches!(code, SQLITE_FULL | SQLITE_IOERR | SQLITE_CANTOPEN))
}

/// Whether, after this error, the open connections may not serve again.
fn is_doubtful(error: &DbErr) -> bool {
    let Some(cause) = cause(error) else { return false };
    match cause {
        sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => match sqlite_code(database.as_ref()) {
            Some(code) => matches!(
                code,
                SQLITE_NOMEM
                    | SQLITE_READONLY
                    | SQLITE_IOERR
                    | SQLITE_CORRUPT
                    | SQLITE_FULL
                    | SQLITE_CANTOPEN
                    | SQLITE_NOTADB
            ),
            None => {
                let code = database.code().unwrap_or_default();
                code == "25006" || ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
            }
        },
        _ => false,
    }
}

/// Whether a commit that failed like this may have been made all the same.
fn may_have_committed(error: &DbErr) -> bool {
    let Some(cause) = cause(error) else { return true };
    let sqlx::Error::Database(database) = cause else { return true };
    if let Some(code) = sqlite_code(database.as_ref()) {
        // SQLite writes a commit to its log before it makes sure that it is on the disk.
        return matches!(code, SQLITE_IOERR | SQLITE_NOMEM);
    }
    // The server says so itself, and goes on: then nothing was committed.
    !database
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .is_some_and(|error| error.severity() == PgSeverity::Error && !matches!(error.code(), "40003" | "08007"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_covers_what_was_open_and_nothing_newer() {
        let guard = Guard::default();
        assert!(!guard.doubts(Duration::from_secs(60)));
        guard.doubt();
        assert!(guard.doubts(Duration::from_secs(60)) && guard.doubts(Duration::from_millis(100)));
        assert!(!guard.doubts(Duration::ZERO), "opened since");
    }

    #[test]
    fn what_a_failover_brings_is_no_fault_of_the_statement() {
        for (code, expected) in [
            ("25006", Trouble::NoChanges),
            ("53100", Trouble::NoChanges),
            ("53300", Trouble::Away),
            ("57P01", Trouble::Away),
            ("57P03", Trouble::Away),
            ("57014", Trouble::Away),
            ("08006", Trouble::Away),
            ("40001", Trouble::Away),
            ("42601", Trouble::Refused),
            ("23505", Trouble::Refused),
        ] {
            assert_eq!(postgres_trouble(code), expected, "{code}");
        }
    }
}
