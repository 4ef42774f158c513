//! A PostgreSQL database: sessions of the backend's own settings, which several replicas may share.

use std::{str::FromStr as _, time::Duration};

use database::{Guard, Guarded, conn_error};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, Statement,
    sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions},
};
use tokio::time::timeout;

use super::{
    signals,
    steps::{POSTGRES_SCHEMA, upgrade},
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections, at most.
const MOST_CONNECTIONS: u32 = 16;

/// Opens it. No statement, and no wait for a lock, takes longer than `patience`.
pub(super) async fn open(url: &str, guard: &Guard, patience: Duration) -> Result<Guarded<DatabaseConnection>, DbErr> {
    knock(url).await?;
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
    check_session(&connection).await?;
    upgrade(&connection).await?;
    if !signals::are_heard(&connection, patience).await? {
        return Err(pooler("LISTEN hears no NOTIFY"));
    }
    Ok(connection)
}

/// Opens one connection and closes it: a pool would try again until its time-out, and then not say what it met.
async fn knock(url: &str) -> Result<(), DbErr> {
    let options = PgConnectOptions::from_str(url).map_err(conn_error)?.disable_statement_logging();
    let silent = || DbErr::Custom(format!("PostgreSQL does not answer within {} s", CONNECT_TIMEOUT.as_secs()));
    let connection = timeout(CONNECT_TIMEOUT, options.connect()).await.map_err(|_| silent())?.map_err(conn_error)?;
    let _ = connection.close().await;
    Ok(())
}

/// Makes sure that a session has the settings that it was opened with. In another schema, two backends would not see each other's
/// conversations.
async fn check_session(connection: &Guarded<DatabaseConnection>) -> Result<(), DbErr> {
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT current_setting('search_path') AS setting");
    let row = connection.query_one_raw(statement).await?;
    let setting: String = row.map(|row| row.try_get("", "setting")).transpose()?.unwrap_or_default();
    if setting == POSTGRES_SCHEMA { Ok(()) } else { Err(pooler("it drops startup options")) }
}

fn pooler(evidence: &str) -> DbErr {
    DbErr::Custom(format!(
        "database_url leads to a connection pooler: {evidence}. The chat backend needs sessions of its own: name PostgreSQL's own URL"
    ))
}
