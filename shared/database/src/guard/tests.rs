use super::*;
use crate::{
    SqliteFile,
    trouble::{Trouble, postgres_trouble},
};

#[test]
fn a_doubt_covers_what_was_open_and_nothing_newer() {
    let guard = Guard::default();
    assert!(!guard.doubts(Duration::from_secs(60)));
    guard.doubt();
    assert!(guard.doubts(Duration::from_secs(60)) && guard.doubts(Duration::from_millis(100)));
    assert!(!guard.doubts(Duration::ZERO), "opened since");
}

#[test]
fn what_a_failover_brings_is_no_fault_of_the_statement() {
    for (code, expected) in [
        ("25006", Trouble::NoChanges),
        ("53100", Trouble::NoChanges),
        ("53300", Trouble::Away),
        ("57P01", Trouble::Away),
        ("57P03", Trouble::Away),
        ("57014", Trouble::Away),
        ("08006", Trouble::Away),
        ("40001", Trouble::Away),
        ("25P03", Trouble::Away),
        ("25P04", Trouble::Away),
        ("42601", Trouble::Refused),
        ("23505", Trouble::Refused),
    ] {
        assert_eq!(postgres_trouble(code), expected, "{code}");
    }
}

#[tokio::test]
async fn the_writers_of_a_file_take_turns_in_the_order_in_which_they_came() {
    let data = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite://{}?mode=rwc", data.path().join("queue.db").display());
    let file = SqliteFile { url, max_connections: 8, busy_timeout: Duration::from_secs(60) };
    let guard = Guard::default();
    let prepare = async |connection: &Guarded<DatabaseConnection>| {
        connection.execute_unprepared("CREATE TABLE came (number INTEGER NOT NULL)").await.map(drop)
    };
    let (connection, _anchor) = file.open(&guard, prepare).await.expect("opened");
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..30 {
        let connection = connection.clone();
        writers.spawn(async move {
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            };
            let insert = format!("INSERT INTO came VALUES ({number})");
            // Every third is a statement by itself.
            if number % 3 == 0 {
                connection.execute_unprepared(&insert).await.expect("written");
                return;
            }
            let transaction = connection.begin(options).await.expect("begun");
            tokio::time::sleep(Duration::from_millis(2)).await;
            transaction.execute_unprepared(&insert).await.expect("written");
            transaction.commit().await.expect("committed");
        });
    }
    writers.join_all().await;
    let statement = Statement::from_string(DbBackend::Sqlite, "SELECT number FROM came ORDER BY rowid");
    let rows = connection.query_all_raw(statement).await.expect("read");
    let came: Vec<i64> = rows.iter().map(|row| row.try_get("", "number").expect("a number")).collect();
    assert_eq!(came, (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_writer_whose_turn_does_not_come_is_told_that_the_database_is_away() {
    let guard = Guard::default();
    guard.line_up_writers(Duration::from_millis(20));
    let turn = guard.turn().await.expect("the first");
    let error = guard.turn().await.expect_err("the turn of another");
    assert_eq!(crate::trouble::trouble(&error), Trouble::Away);
    drop(turn);
    assert!(guard.turn().await.expect("its turn").is_some());
}
