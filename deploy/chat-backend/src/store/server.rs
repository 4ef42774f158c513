//! A PostgreSQL database: sessions of the backend's own settings, which several replicas may share.

use std::time::Duration;

use database::{Guard, Guarded};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr};

use super::steps::{POSTGRES_SCHEMA, upgrade};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections, at most.
const MOST_CONNECTIONS: u32 = 16;

/// Opens it. No statement, and no wait for a lock, takes longer than `patience`.
pub(super) async fn open(url: &str, patience: Duration) -> Result<Guarded<DatabaseConnection>, DbErr> {
    let guard = Guard::default();
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(MOST_CONNECTIONS)
        .acquire_timeout(patience)
        .connect_timeout(CONNECT_TIMEOUT)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |postgres| {
            let timeout = format!("{}ms", patience.as_millis());
            let timeout = timeout.as_str();
            postgres.options([
                ("search_path", POSTGRES_SCHEMA),
                ("statement_timeout", timeout),
                ("lock_timeout", timeout),
                // A replica that is paused or cut off in a transaction holds its locks. Without this, no other replica could answer there.
                ("idle_in_transaction_session_timeout", timeout),
            ])
        });
    guard.install(&mut options);
    let connection = guard.watch(Database::connect(options).await?);
    upgrade(&connection).await?;
    Ok(connection)
}
