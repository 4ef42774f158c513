use sea_orm::{Database, DbBackend, FromQueryResult};

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

/// What a query finds among every tenant's rows.
async fn every<T: FromQueryResult>(store: &Store, sql: &str) -> Vec<T> {
    let statement = Statement::from_string(DbBackend::Sqlite, sql);
    T::find_by_statement(statement).all(&store.connection).await.expect("rows")
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
    let sql = "SELECT id, waiting_reason FROM conversation ORDER BY id";
    let found: Vec<Waiting> = every(&store, sql).await;
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
        let found: Vec<TicketNow> = every(&store, sql).await;
        assert_eq!(found.len(), 17);
        for ticket in found {
            let is_assigned = ["assigned open", "assigned triaged", "assigned reopened"].contains(&ticket.id.as_str());
            let before = ticket.id.split_once(' ').map_or("open", |(_, status)| status);
            let expected = if is_assigned { "assigned" } else { before };
            assert_eq!((ticket.status.as_str(), ticket.is_changed), (expected, is_assigned), "{}", ticket.id);
        }
    }
}

#[derive(Debug, PartialEq, FromQueryResult)]
struct Outbox {
    conversations: i64,
    rows: i64,
    user_version: i64,
}

#[tokio::test]
async fn a_file_without_an_outbox_gets_an_empty_one_and_keeps_what_it_has() {
    let rows = "
        INSERT INTO conversation (id, tenant_id, visitor_user_id, locale, channel, status, handling, metadata, created_at, updated_at)
        VALUES ('c', 't', 'u', 'en', 'text', 'active', 'bot', '{}', 0, 0);";
    let (store, _directory) = upgraded(4, rows).await;
    let sql = "SELECT (SELECT count(*) FROM conversation) AS conversations, (SELECT count(*) FROM outbox) AS rows,
                   (SELECT user_version FROM pragma_user_version) AS user_version";
    let found: Vec<Outbox> = every(&store, sql).await;
    assert_eq!(found, [Outbox { conversations: 1, rows: 0, user_version: i64::try_from(STEPS.len()).expect("few") }]);
}

#[derive(Debug, PartialEq, FromQueryResult)]
struct Resolved {
    id: String,
    handling: String,
    rating_score: Option<i32>,
    answers_email: Option<String>,
    mail_due_at: Option<i64>,
    mailed_up_to: String,
}

const RESOLVED: &str = "SELECT id, handling, rating_score, answers_email, mail_due_at, mailed_up_to FROM conversation";

/// A conversation of before there were ratings and mail.
fn resolved() -> Resolved {
    Resolved {
        id: "c".to_owned(),
        handling: "resolved".to_owned(),
        rating_score: None,
        answers_email: None,
        mail_due_at: None,
        mailed_up_to: String::new(),
    }
}

const A_RESOLVED_ONE: &str = "
    INSERT INTO conversation (id, tenant_id, visitor_user_id, locale, channel, status, handling, resolved_at, metadata, created_at, updated_at)
    VALUES ('c', 't', 'u', 'en', 'text', 'active', 'resolved', 7, '{}', 0, 0);";

#[tokio::test]
async fn a_conversation_of_before_there_were_ratings_and_mail_is_kept_unrated_and_due_for_nothing() {
    let (store, _directory) = upgraded(6, A_RESOLVED_ONE).await;
    assert_eq!(every::<Resolved>(&store, RESOLVED).await, [resolved()]);
}

#[tokio::test]
async fn the_same_on_postgresql() {
    let server = e2e::postgres::Postgres::start();
    let url = server.database("chat");
    let old = Database::connect(format!("{url}?options=-c%20search_path%3Dchat_backend")).await.expect("it opens");
    let before = format!(
        "CREATE SCHEMA chat_backend; {} CREATE TABLE schema_steps (taken BIGINT NOT NULL); INSERT INTO schema_steps VALUES (1); {A_RESOLVED_ONE}",
        steps::POSTGRES_STEPS[0]
    );
    old.execute_unprepared(&before).await.expect("rows");
    old.close().await.expect("it closes");
    let store = Store::open(&url).await.expect("it is upgraded");
    let statement = Statement::from_string(DbBackend::Postgres, RESOLVED);
    let found = Resolved::find_by_statement(statement).all(&store.connection).await.expect("rows");
    assert_eq!(found, [resolved()]);
}
