//! `NOTIFY` and `LISTEN` of PostgreSQL, by which the processes that share a database say things to each other.

use std::time::Duration;

use database::{Guarded, conn_error};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, sqlx::postgres::PgListener};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use super::{error::StoreError, transaction::Transaction};

/// The channel that all of them listen to.
const CHANNEL: &str = "chat_backend";

/// Says it once the transaction commits, and only then.
pub(crate) async fn say_with(transaction: &Transaction, said: String) -> Result<(), StoreError> {
    let sql = "SELECT pg_notify($1, $2)";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [CHANNEL.into(), said.into()]);
    transaction.execute_raw(statement).await.map(drop)
}

/// Says these now.
pub(super) async fn say(connection: &Guarded<DatabaseConnection>, said: &[String]) -> Result<(), StoreError> {
    let sql = "SELECT pg_notify($1, value) FROM jsonb_array_elements_text(CAST($2 AS JSONB))";
    let values = [CHANNEL.into(), json!(said).to_string().into()];
    connection.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await.map(drop)
}

/// Whether what is said on one connection is heard on another.
pub(super) async fn are_heard(connection: &Guarded<DatabaseConnection>, within: Duration) -> Result<bool, StoreError> {
    let mut listener = NotificationListener::open(connection).await?;
    let word = Uuid::now_v7().to_string();
    say(connection, std::slice::from_ref(&word)).await?;
    let hearing = async {
        while let Some(heard) = listener.next().await? {
            if heard == word {
                return Ok(true);
            }
        }
        Ok(false)
    };
    timeout(within, hearing).await.unwrap_or(Ok(false))
}

/// One connection that listens.
pub(crate) struct NotificationListener(PgListener);

impl NotificationListener {
    /// Listens from now on.
    pub(super) async fn open(connection: &Guarded<DatabaseConnection>) -> Result<Self, StoreError> {
        let pool = connection.inner().get_postgres_connection_pool();
        let mut listener = PgListener::connect_with(pool).await.map_err(conn_error)?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await.map_err(conn_error)?;
        Ok(Self(listener))
    }

    /// What is said next, by this process too; `None` where the connection was lost.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let notification = self.0.try_recv().await.map_err(conn_error)?;
        Ok(notification.map(|notification| notification.payload().to_owned()))
    }
}
