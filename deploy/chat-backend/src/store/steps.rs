//! The schema, in steps, and what brings an older file to the newest.

use database::{CommitError, Guarded};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, FromQueryResult, Statement};

use super::{error::StoreError, transaction::begin};

/// The schema in steps: the file says how many it has taken. A step that has landed is never edited.
pub(crate) const STEPS: [&str; 6] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2_sockets.sql"),
    include_str!("schema_3_waiting.sql"),
    include_str!("schema_4_assigned_tickets.sql"),
    include_str!("schema_5_outbox.sql"),
    include_str!("schema_6_operators.sql"),
];

pub(super) async fn upgrade(connection: &Guarded<DatabaseConnection>) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Version {
        user_version: i64,
    }
    let transaction = begin(connection).await?;
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA user_version");
    let version = Version::find_by_statement(statement).one(&transaction).await?;
    let version = version.map_or(0, |version| version.user_version);
    let taken = usize::try_from(version)
        .map_err(|_| DbErr::Custom(format!("user_version is {version}: this is not a chat backend's file")))?;
    for step in STEPS.iter().skip(taken) {
        transaction.execute_unprepared(step).await?;
    }
    if taken < STEPS.len() {
        transaction.execute_unprepared(&format!("PRAGMA user_version = {}", STEPS.len())).await?;
    }
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => error,
    })?;
    if taken < STEPS.len() {
        tracing::info!(from = taken, to = STEPS.len(), "the chat backend's schema was upgraded");
    }
    Ok(())
}
