//! Looks at every error of a connection, and closes the connections that an error puts in doubt. Makes the writers of a SQLite file
//! take turns.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
    sqlx::{self, Connection as _, pool::PoolOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::trouble::{is_doubtful, may_have_committed};

/// The shortest time between two doubts that callers can cause.
const DOUBT_EVERY: Duration = Duration::from_secs(1);

/// How long a connection that is given back may take to settle what it owes.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// How a commit failed.
#[derive(Debug)]
pub enum CommitError {
    /// Nothing was committed.
    Failed(DbErr),
    /// The answer was lost: the transaction may have been committed, or not.
    Unknown(DbErr),
}

/// Guards the connections of one database. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// When connections were last put in doubt.
    doubted: watch::Sender<Option<Instant>>,
    /// Set where the database has one writer at a time.
    line: OnceLock<Line>,
}

/// Where writers wait for their turn.
#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    patience: Duration,
}

impl Guard {
    /// Has the pools of these options close connections that may not serve again. Call it last: it replaces other hooks.
    pub fn install(&self, options: &mut ConnectOptions) {
        let (sqlite, postgres) = (self.clone(), self.clone());
        options.map_sqlx_sqlite_pool_opts(move |pool| sqlite.hook(pool));
        options.map_sqlx_postgres_pool_opts(move |pool| postgres.hook(pool));
    }

    /// Makes writers take turns, in the order in which they came. Call it for a database that has one writer at a time. Without it, writers
    /// sleep in SQLite, up to 100 ms at a time, and a newer one often goes first.
    pub(crate) fn line_up_writers(&self, patience: Duration) {
        let _ = self.0.line.set(Line { turn: Arc::new(Semaphore::new(1)), patience });
    }

    /// Waits for a writer's turn, which lasts until the permit is dropped. `None` where writers take no turns.
    async fn turn(&self) -> Result<Option<OwnedSemaphorePermit>, DbErr> {
        let Some(line) = self.0.line.get() else { return Ok(None) };
        match tokio::time::timeout(line.patience, Arc::clone(&line.turn).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => {
                tracing::warn!(waited = ?line.patience, "a writer's turn did not come: SQLite has one writer at a time");
                Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
            }
        }
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
        self.0.doubted.send_replace(Some(Instant::now()));
    }

    /// As [`Guard::doubt`], but at most once a second: for errors that any caller can cause.
    pub fn doubt_now_and_then(&self) {
        if self.0.doubted.borrow().is_none_or(|raised| raised.elapsed() > DOUBT_EVERY) {
            self.doubt();
        }
    }

    /// Returns once connections are put in doubt after this was called. Await it to give up a connection that no pool holds.
    pub fn doubted(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut raised = self.0.doubted.subscribe();
        async move {
            // The sender lives as long as the store.
            let _ = raised.changed().await;
        }
    }

    /// Whether a connection of this age was open when connections were put in doubt.
    fn doubts(&self, age: Duration) -> bool {
        self.0.doubted.borrow().is_some_and(|raised| age >= raised.elapsed())
    }

    /// Has the errors of a connection looked at.
    pub fn watch<C>(&self, inner: C) -> Guarded<C> {
        Guarded { inner, guard: self.clone(), has_failed: AtomicBool::new(false), role: Role::Pool }
    }

    fn note(&self, error: &DbErr) {
        // A connection that was not made says nothing of those that are.
        if !matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) && is_doubtful(error) {
            self.doubt();
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
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// A pool. Each statement that is executed takes a turn. A query takes none, so a statement that writes and returns rows needs a
    /// transaction.
    Pool,
    /// A transaction, which has its turn, if it needs one, for as long as it lasts.
    Transaction { _turn: Option<OwnedSemaphorePermit> },
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

    /// The turn of one statement that writes.
    async fn statement_turn(&self) -> Result<Option<OwnedSemaphorePermit>, DbErr> {
        match self.role {
            Role::Pool => self.guard.turn().await,
            Role::Transaction { .. } => Ok(None),
        }
    }

    /// The connection itself.
    pub fn inner(&self) -> &C {
        &self.inner
    }
}

impl Guarded<DatabaseConnection> {
    /// Begins a transaction. One that writes (`SqliteTransactionMode::Immediate`) first waits for its turn. It begins in a task of its
    /// own: where the caller leaves meanwhile, the task still drops the transaction, which rolls it back.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(&self, options: TransactionOptions) -> Result<Guarded<DatabaseTransaction>, DbErr> {
        let writes = matches!(options.sqlite_transaction_mode, Some(SqliteTransactionMode::Immediate));
        let turn = if writes { self.noted(self.guard.turn().await)? } else { None };
        let connection = self.inner.clone();
        let beginning =
            tokio::spawn(async move { connection.begin_with_options(options).await.map(|begun| (begun, turn)) });
        let begun = beginning.await.unwrap_or_else(|error| Err(DbErr::Custom(error.to_string())));
        let (transaction, turn) = self.noted(begun)?;
        Ok(Guarded { role: Role::Transaction { _turn: turn }, ..self.guard.watch(transaction) })
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
        // The turn ends after the commit.
        let Self { inner, guard, has_failed, role: _turn } = self;
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
        let Self { inner, guard, role: _turn, .. } = self;
        inner.rollback().await.inspect_err(|_| guard.doubt())
    }
}

#[async_trait]
impl<C: ConnectionTrait + Send> ConnectionTrait for Guarded<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let _turn = self.noted(self.statement_turn().await)?;
        self.noted(self.inner.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let _turn = self.noted(self.statement_turn().await)?;
        self.noted(self.inner.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.noted(self.inner.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.noted(self.inner.query_all_raw(statement).await)
    }
}

#[cfg(test)]
mod tests;
