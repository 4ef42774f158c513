//! The backend's database: a SQLite file with one writer at a time, or PostgreSQL. SQL by hand, since full-text search is SQL by hand.

use std::{sync::Arc, time::Duration};

use database::{Anchor, Guard, Guarded, SqliteFile};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, Statement};
use tokio::sync::Mutex;
use wire::TenantId;

mod dialect;
mod error;
mod of_tenant;
mod server;
mod signals;
mod steps;
mod transaction;

#[cfg(test)]
mod tests;

pub(crate) use dialect::Dialect;
pub use error::StoreError;
pub(crate) use error::unavailable;
pub(crate) use of_tenant::OfTenant;
pub(crate) use signals::{NotificationListener, say_with};
pub(crate) use steps::STEPS;
pub(crate) use transaction::{Transaction, commit};

/// How long a statement waits for another writer, and on PostgreSQL may take: well below what callers wait for the relay.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Guarded<DatabaseConnection>,
    guard: Guard,
    anchor: Arc<Mutex<Anchor>>,
}

impl Store {
    /// Opens a database (`sqlite:` or `postgres:`). Makes a SQLite file, and the tables, if they are not there.
    ///
    /// # Errors
    /// The database's; a URL of another kind.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let guard = Guard::default();
            let connection = server::open(url, &guard, BUSY_TIMEOUT).await?;
            tracing::info!(database = "PostgreSQL", "the chat backend's database is open");
            return Ok(Self { connection, guard, anchor: Arc::new(Mutex::new(Anchor::none())) });
        }
        if !url.starts_with("sqlite:") {
            return Err(DbErr::Custom("the database's URL must begin with sqlite: or postgres:".to_owned()));
        }
        let file = SqliteFile { url: url.to_owned(), max_connections: 8, busy_timeout: BUSY_TIMEOUT };
        let guard = Guard::default();
        let (connection, anchor) = file.open(&guard, steps::upgrade).await?;
        let path = database::sqlite_file(url).unwrap_or_default();
        tracing::info!(database = format!("SQLite at {}", path.display()), "the chat backend's database is open");
        Ok(Self { connection, guard, anchor: Arc::new(Mutex::new(anchor)) })
    }

    /// Closes it: SQLite folds its log into it.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await?;
        self.anchor.lock().await.close().await
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_schema",
            Dialect::Postgres => "SELECT count(*) FROM schema_steps",
        };
        let statement = Statement::from_string(self.connection.get_database_backend(), sql);
        self.connection.query_one_raw(statement).await.map(drop)
    }

    /// The database's way to say things.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of(self.connection.get_database_backend())
    }

    /// A transaction that means to write.
    pub(crate) async fn begin(&self) -> Result<Transaction, StoreError> {
        transaction::begin(&self.connection).await
    }

    /// Says these to every process on the same PostgreSQL. Each must have fewer than 8000 bytes.
    pub(crate) async fn say(&self, said: &[String]) -> Result<(), StoreError> {
        signals::say(&self.connection, said).await
    }

    /// Listens on a connection of its own for what processes on the same PostgreSQL say.
    pub(crate) async fn listen(&self) -> Result<NotificationListener, StoreError> {
        NotificationListener::open(&self.connection).await
    }

    /// Returns once connections are put in doubt after this was called: one may lead to a server that is none any more.
    pub(crate) fn doubted(&self) -> impl Future<Output = ()> + Send + 'static {
        self.guard.doubted()
    }

    /// The database across tenants. For the publisher and the mailer alone, which must find out whose rows they have to send.
    pub(crate) fn across_tenants(&self) -> &Guarded<DatabaseConnection> {
        &self.connection
    }

    /// One tenant's rows, each statement a transaction of its own.
    pub(crate) fn of(&self, tenant_id: TenantId) -> OfTenant<'_, Guarded<DatabaseConnection>> {
        OfTenant::new(&self.connection, tenant_id)
    }
}
