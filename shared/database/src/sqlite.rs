//! A SQLite file that is opened durably, also on a full disk.

use std::{path::PathBuf, str::FromStr as _, time::Duration};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr,
    sqlx::{
        self, ConnectOptions as _, Connection as _, SqliteConnection,
        sqlite::{SqliteConnectOptions, SqliteLockingMode},
    },
};

use crate::{
    guard::{Guard, Guarded},
    trouble::{conn_error, has_no_room},
};

/// The path of the file that a `sqlite:` URL names; `None` for another URL, and for a database in memory.
#[must_use]
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.trim_start_matches("//").split('?').next()?;
    (!path.is_empty() && path != ":memory:").then(|| {
        // `sqlite:///a/b` keeps its leading slash: two slashes introduce the (empty) authority.
        if rest.starts_with("///") { format!("/{}", path.trim_start_matches('/')).into() } else { path.into() }
    })
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
        guard.line_up_writers(self.busy_timeout);
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
