//! The backend's SQLite file: opened durable, one writer at a time, SQL by hand since full-text search is SQL by hand.

use std::{sync::Arc, time::Duration};

use database::{Anchor, CommitError, Guard, Guarded, SqliteFile, Trouble};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, SqliteTransactionMode,
    Statement, TransactionOptions, Value,
};
use service::ApiError;
use tokio::sync::Mutex;
use wire::ErrorCode;

/// The database failed.
pub type StoreError = DbErr;

/// A transaction.
pub(super) type Transaction = Guarded<DatabaseTransaction>;

/// How long a statement waits for another writer: well below what callers wait for the relay.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Guarded<DatabaseConnection>,
    anchor: Arc<Mutex<Anchor>>,
}

impl Store {
    /// Opens the file, making it and its tables where they are not there.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let file = SqliteFile { url: url.to_owned(), max_connections: 8, busy_timeout: BUSY_TIMEOUT };
        let (connection, anchor) = file.open(&Guard::default(), upgrade).await?;
        let path = database::sqlite_file(url).unwrap_or_default();
        tracing::info!(database = format!("SQLite at {}", path.display()), "the chat backend's database is open");
        Ok(Self { connection, anchor: Arc::new(Mutex::new(anchor)) })
    }

    /// Closes the file: SQLite folds its log into it.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await?;
        self.anchor.lock().await.close().await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.connection.query_one_raw(statement("SELECT COUNT(*) FROM sqlite_schema", [])).await.map(drop)
    }

    /// A transaction that means to write: it takes the one writer's place at once, rather than fail half-way.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        begin(&self.connection).await
    }

    pub(super) fn reader(&self) -> &Guarded<DatabaseConnection> {
        &self.connection
    }
}

async fn begin(connection: &Guarded<DatabaseConnection>) -> Result<Transaction, StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    connection.begin(options).await
}

/// Commits: where this succeeds, it is committed.
pub(super) async fn commit(transaction: Transaction) -> Result<(), ApiError> {
    transaction.commit().await.map_err(|error| match error {
        CommitError::Failed(error) => unavailable(error),
        CommitError::Unknown(error) => ApiError::new(
            ErrorCode::OutcomeUnknown,
            "The database's answer was lost: it may have been written, or not. Look before you repeat it.",
        )
        .caused_by(error),
    })
}

/// The schema in steps: the file says how many it has taken. A step that has landed is never edited.
pub(super) const STEPS: [&str; 4] = [
    include_str!("schema.sql"),
    include_str!("schema_2_sockets.sql"),
    include_str!("schema_3_waiting.sql"),
    include_str!("schema_4_assigned_tickets.sql"),
];

async fn upgrade(connection: &Guarded<DatabaseConnection>) -> Result<(), StoreError> {
    #[derive(FromQueryResult)]
    struct Version {
        user_version: i64,
    }
    let transaction = begin(connection).await?;
    let version: Option<Version> = one(&transaction, "PRAGMA user_version", []).await?;
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

fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

pub(super) async fn all<T: FromQueryResult>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<T>, StoreError> {
    T::find_by_statement(statement(sql, values)).all(connection).await
}

pub(super) async fn one<T: FromQueryResult>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<T>, StoreError> {
    T::find_by_statement(statement(sql, values)).one(connection).await
}

pub(super) async fn execute(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    connection.execute_raw(statement(sql, values)).await.map(|done| done.rows_affected())
}

/// What the database's trouble means to a caller.
pub(super) fn unavailable(error: StoreError) -> ApiError {
    match database::trouble(&error) {
        Trouble::NoChanges => ApiError::new(
            ErrorCode::StoreUnavailable,
            "The chat backend's database takes no changes right now: its disk is full or failing, or it may only be read. \
             Nothing was changed: send the call again later.",
        )
        .retry_after_seconds(5),
        Trouble::Away | Trouble::Refused => {
            ApiError::new(ErrorCode::StoreUnavailable, "The chat backend's database does not answer. Try again.")
                .retry_after_seconds(1)
        }
    }
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use sea_orm::Database;

    use super::*;

    #[derive(Debug, PartialEq, FromQueryResult)]
    struct Waiting {
        id: String,
        waiting_reason: Option<String>,
    }

    /// The store over a file that took so many steps and then these rows, and is upgraded.
    async fn upgraded(steps: usize, rows: &str) -> (Store, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("chat.db").display());
        let old = Database::connect(&url).await.expect("it opens");
        for step in &STEPS[..steps] {
            old.execute_unprepared(step).await.expect("a step");
        }
        let rows = format!("PRAGMA user_version = {steps}; {rows}");
        old.execute_unprepared(&rows).await.expect("rows");
        old.close().await.expect("it closes");
        (Store::open(&url).await.expect("it is upgraded"), directory)
    }

    #[tokio::test]
    async fn a_file_that_no_chat_backend_has_written_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("other.db").display());
        let other = Database::connect(&url).await.expect("it opens");
        other.execute_unprepared("PRAGMA user_version = -1; CREATE TABLE mine (id INTEGER)").await.expect("written");
        other.close().await.expect("it closes");
        let refused = Store::open(&url).await.expect_err("another program's").to_string();
        assert!(refused.contains("user_version is -1"), "{refused}");
    }

    #[tokio::test]
    async fn conversations_that_wait_already_learn_why_from_their_newest_ticket() {
        let rows = "
            INSERT INTO conversation (id, tenant_id, visitor_user_id, locale, channel, status, handling, metadata, created_at, updated_at)
            SELECT value, 't', 'u', 'en', 'text', 'active', CASE value WHEN 'bot' THEN 'bot' ELSE 'waiting' END, '{}', 0, 0
            FROM json_each('[\"asked\", \"bot\", \"form\", \"human\", \"unknown\"]');
            INSERT INTO ticket (id, tenant_id, number, user_id, subject, description, priority, status, tags, conversation_id, created_at, updated_at)
            VALUES ('1', 't', 1, 'u', 's', 'd', 'p3', 'open', '[\"escalation\",\"low_confidence\"]', 'unknown', 0, 0),
                   ('2', 't', 2, 'u', 's', 'd', 'p3', 'open', '[\"escalation\",\"low_confidence\"]', 'asked', 0, 0),
                   ('3', 't', 3, 'u', 's', 'd', 'p3', 'open', '[\"escalation\",\"user_request\"]', 'asked', 0, 0),
                   ('4', 't', 4, 'u', 's', 'd', 'p3', 'open', '[\"contact_form\"]', 'form', 0, 0);";
        let (store, _directory) = upgraded(2, rows).await;
        let found: Vec<Waiting> =
            all(store.reader(), "SELECT id, waiting_reason FROM conversation ORDER BY id", []).await.expect("rows");
        let expected = [
            ("asked", Some("user_request")),
            ("bot", None),
            ("form", Some("contact_form")),
            ("human", Some("human_mode")),
            ("unknown", Some("low_confidence")),
        ];
        let expected =
            expected.map(|(id, reason)| Waiting { id: id.to_owned(), waiting_reason: reason.map(str::to_owned) });
        assert_eq!(found, expected);
    }

    #[derive(Debug, PartialEq, FromQueryResult)]
    struct TicketNow {
        id: String,
        status: String,
        is_changed: bool,
    }

    #[tokio::test]
    async fn tickets_that_a_person_has_answered_already_are_assigned() {
        // The id of a ticket is its conversation's handling, and its own status.
        let rows = "
            INSERT INTO conversation (id, tenant_id, visitor_user_id, locale, channel, status, handling, metadata, created_at, updated_at)
            SELECT value, 't', 'u', 'en', 'text', 'active', value, '{}', 0, 0
            FROM json_each('[\"assigned\", \"bot\", \"waiting\"]');
            INSERT INTO ticket (id, tenant_id, number, user_id, subject, description, priority, status, tags, conversation_id, created_at, updated_at)
            SELECT conversation.id || ' ' || status.value, 't', row_number() OVER (), 'u', 's', 'd', 'p3', status.value, '[]', conversation.id, 0, 0
            FROM conversation, json_each('[\"open\", \"triaged\", \"reopened\", \"in_progress\", \"resolved\"]') AS status;
            INSERT INTO ticket (id, tenant_id, number, user_id, subject, description, priority, status, tags, conversation_id, created_at, updated_at)
            VALUES ('foreign', 'other', 1, 'u', 's', 'd', 'p3', 'open', '[]', 'assigned', 0, 0),
                   ('none', 't', 99, 'u', 's', 'd', 'p3', 'open', '[]', NULL, 0, 0);";
        for from in [2, 3] {
            let (store, _directory) = upgraded(from, rows).await;
            let sql = "SELECT id, status, updated_at > 0 AS is_changed FROM ticket ORDER BY id";
            let found: Vec<TicketNow> = all(store.reader(), sql, []).await.expect("rows");
            assert_eq!(found.len(), 17);
            for ticket in found {
                let is_assigned =
                    ["assigned open", "assigned triaged", "assigned reopened"].contains(&ticket.id.as_str());
                let before = ticket.id.split_once(' ').map_or("open", |(_, status)| status);
                let expected = if is_assigned { "assigned" } else { before };
                assert_eq!((ticket.status.as_str(), ticket.is_changed), (expected, is_assigned), "{}", ticket.id);
            }
        }
    }
}
