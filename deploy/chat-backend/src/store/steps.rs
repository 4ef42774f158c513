//! The schema, in steps, and what brings an older file to the newest.

use database::{CommitError, Guarded};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr, FromQueryResult, Statement};

use super::{
    dialect::Dialect,
    error::StoreError,
    transaction::{Transaction, begin},
};

/// The schema in steps: a database says how many it has taken. A step that has landed is never edited.
pub(crate) const STEPS: [&str; 11] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2_sockets.sql"),
    include_str!("schema_3_waiting.sql"),
    include_str!("schema_4_assigned_tickets.sql"),
    include_str!("schema_5_outbox.sql"),
    include_str!("schema_6_operators.sql"),
    include_str!("schema_7_ratings.sql"),
    include_str!("schema_8_resolutions.sql"),
    include_str!("schema_9_document_urls.sql"),
    include_str!("schema_10_files.sql"),
    include_str!("schema_11_choices.sql"),
];

/// The same on PostgreSQL.
pub(super) const POSTGRES_STEPS: [&str; 6] = [
    include_str!("postgres_1.sql"),
    include_str!("postgres_2.sql"),
    include_str!("postgres_3.sql"),
    include_str!("postgres_4.sql"),
    include_str!("postgres_5.sql"),
    include_str!("postgres_6.sql"),
];

/// The PostgreSQL schema that the tables are in: the admin service may keep its own in the same database.
pub(super) const POSTGRES_SCHEMA: &str = "chat_backend";

/// Where PostgreSQL keeps how many steps were taken. The lock makes replicas that start together take turns; a step may take its time. A
/// schema that somebody else made needs no right to make one.
const PREPARE_POSTGRES: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = 0;
    SELECT pg_advisory_xact_lock(hashtextextended('chat_backend schema', 0));
    DO $$ BEGIN
        IF NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'chat_backend') THEN CREATE SCHEMA chat_backend; END IF;
    END $$;
    CREATE TABLE IF NOT EXISTS schema_steps (taken BIGINT NOT NULL);
    INSERT INTO schema_steps (taken) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_steps);";

/// Brings the schema to the newest step.
pub(super) async fn upgrade(connection: &Guarded<DatabaseConnection>) -> Result<(), StoreError> {
    let transaction = begin(connection).await?;
    let dialect = Dialect::of(transaction.get_database_backend());
    let steps: &[&str] = match dialect {
        Dialect::Sqlite => &STEPS,
        Dialect::Postgres => {
            transaction.execute_unprepared(PREPARE_POSTGRES).await?;
            &POSTGRES_STEPS
        }
    };
    let taken = taken(&transaction, dialect).await?;
    for step in steps.iter().skip(taken) {
        transaction.execute_unprepared(step).await?;
    }
    if taken < steps.len() {
        let note = match dialect {
            Dialect::Sqlite => format!("PRAGMA user_version = {}", steps.len()),
            Dialect::Postgres => format!("UPDATE schema_steps SET taken = {}", steps.len()),
        };
        transaction.execute_unprepared(&note).await?;
    }
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) | CommitError::Unknown(error) => error,
    })?;
    if taken < steps.len() {
        tracing::info!(from = taken, to = steps.len(), "the chat backend's schema was upgraded");
    }
    Ok(())
}

/// How many steps the database has taken.
async fn taken(transaction: &Transaction, dialect: Dialect) -> Result<usize, StoreError> {
    #[derive(FromQueryResult)]
    struct Version {
        taken: i64,
    }
    let (sql, name) = match dialect {
        Dialect::Sqlite => ("SELECT user_version AS taken FROM pragma_user_version", "user_version"),
        Dialect::Postgres => ("SELECT taken FROM schema_steps", "chat_backend.schema_steps"),
    };
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    let found = Version::find_by_statement(statement).one(transaction).await?.map_or(0, |version| version.taken);
    usize::try_from(found)
        .map_err(|_| DbErr::Custom(format!("{name} is {found}: this is not a chat backend's database")))
}
