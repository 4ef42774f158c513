//! How replicas wake each other: `NOTIFY` on PostgreSQL. SQLite has one replica.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend, prelude::*, sqlx::postgres::PgListener};
use tokio::time::timeout;

use super::connection::translate;
use crate::store::error::StoreError;

/// The PostgreSQL channel by which replicas wake each other. What happened is in the tables.
const CHANNEL: &str = "chat_relay_changes";

/// Tells the other replicas to look, once the transaction it is part of commits. SQLite has no others.
pub(super) async fn signal(connection: &impl ConnectionTrait) -> Result<(), StoreError> {
    if connection.get_database_backend() == DatabaseBackend::Postgres {
        connection.execute_unprepared(&format!("NOTIFY {CHANNEL}")).await.map_err(translate)?;
    }
    Ok(())
}

/// Why notifications cannot be heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotListening {
    /// A notification that was sent did not come.
    #[error("LISTEN hears no NOTIFY")]
    Deaf,
    /// The database's error.
    #[error(transparent)]
    Database(#[from] sea_orm::SqlxError),
}

/// Whether a pooler gave a new client the session of another one: the name of its first prepared statement is taken (42P05), or the
/// statement that it has just prepared is missing (26000).
pub(crate) fn is_lent_session(error: &sea_orm::SqlxError) -> bool {
    let sea_orm::SqlxError::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == "42P05" || code == "26000")
}

/// How long a notification may take to come back.
const ECHO_WITHIN: Duration = Duration::from_secs(5);

/// Listens for what other replicas say, and has heard itself: behind a pooler that gives each transaction another session nothing
/// is heard, and nothing says so.
pub(crate) async fn listener(connection: &DatabaseConnection) -> Result<PgListener, NotListening> {
    let pool = connection.get_postgres_connection_pool();
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    let word = Uuid::new_v4().to_string();
    let told = sea_orm::sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(&word).execute(pool).await;
    match told {
        // A pooler has lent the session that listens to the connection that notifies.
        Err(sea_orm::SqlxError::Protocol(_)) => return Err(NotListening::Deaf),
        // Or the session of an earlier client, with its prepared statements.
        Err(error) if is_lent_session(&error) => return Err(NotListening::Deaf),
        told => told?,
    };
    let echo = async {
        while listener.recv().await?.payload() != word {}
        Ok::<_, NotListening>(())
    };
    timeout(ECHO_WITHIN, echo).await.unwrap_or(Err(NotListening::Deaf))?;
    Ok(listener)
}
