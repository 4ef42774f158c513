//! Messages name files: which ones a sender may name, and how long a file stays that no message names. PROTOCOL.md, section 5.12.

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    files::{Kept, start_in},
    inbox::{act, desk, visitor},
    sockets::Relay,
    support::TestDatabase,
};

/// Sends a frame, and answers the next frame of this type.
pub(crate) async fn ask(relay: &mut Relay, frame: &Value, answer: &str) -> Value {
    relay.say(frame).await;
    relay.next_of(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_names_its_own_files_once_each() {
    let files = Kept::start().await;
    let tenant = TenantId::generate();
    let (session, other) = (SessionId::generate(), SessionId::generate());
    let actor = format!("visitor:{session}");
    let (id, attachment) = files.kept(tenant, &actor).await;
    let (_, of_another) = files.kept(tenant, &format!("visitor:{other}")).await;
    let (_, of_another_tenant) = files.kept(TenantId::generate(), &actor).await;
    let (mut relay, welcome) = Relay::welcomed(&files.backend, tenant, session).await;
    let mut missing = attachment.clone();
    missing["url"] = json!(attachment["url"].as_str().expect("a URL").replace(&id, &"0".repeat(32)));
    let mut elsewhere = attachment.clone();
    elsewhere["url"] = json!("https://evil.example/a.png");
    let twice = vec![attachment.clone(), attachment.clone()];
    for refused in [vec![of_another], vec![of_another_tenant], vec![missing], vec![elsewhere], twice] {
        let client_id = Uuid::new_v4().to_string();
        let frame = json!({"type": "message", "client_id": client_id, "content": "x", "attachments": &refused});
        let error = ask(&mut relay, &frame, "error").await;
        assert_eq!((&error["error_code"], &error["client_id"]), (&json!("validation_failed"), &json!(client_id)));
        let last = format!("attachments[{}].url", refused.len() - 1);
        assert!(error["message"].as_str().is_some_and(|message| message.contains(&last)), "{error}");
    }
    // What the message says of the file does not count.
    let mut lying = attachment.clone();
    (lying["mime"], lying["size"], lying["name"]) = (json!("text/html"), json!(1), json!("b.html"));
    let client_id = Uuid::new_v4().to_string();
    let frame = json!({"type": "message", "client_id": client_id, "content": "look", "attachments": [lying]});
    let ack = ask(&mut relay, &frame, "ack").await;
    assert_eq!(
        ask(&mut relay, &frame, "ack").await["message_id"],
        ack["message_id"],
        "the same message again is the same"
    );
    let id = welcome["conversation_id"].as_str().expect("an id");
    let messages = files.backend.get(tenant, &format!("/fetch/messages?conversation_id={id}")).await;
    let sent = messages["items"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|message| message["content"] == "look")
        .expect("the message");
    assert_eq!(sent["attachments"], json!([attachment]));
    let frame =
        json!({"type": "message", "client_id": Uuid::new_v4(), "content": "again", "attachments": [attachment]});
    assert_eq!(
        ask(&mut relay, &frame, "error").await["error_code"],
        "validation_failed",
        "it stands in a message already"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_messages_that_name_a_file_at_once_one_has_it() {
    let files = Kept::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (_, attachment) = files.kept(tenant, &format!("visitor:{session}")).await;
    let (backend, attachment) = (&files.backend, &attachment);
    let tabs = (0..8).map(|_| Relay::welcomed(backend, tenant, session));
    let tabs = futures_util::future::join_all(tabs).await;
    let sending = tabs.into_iter().map(|(mut tab, _)| async move {
        let client_id = Uuid::new_v4().to_string();
        let frame = json!({"type": "message", "client_id": client_id, "content": "x", "attachments": [attachment]});
        tab.say(&frame).await;
        loop {
            let frame = tab.next().await.expect("open");
            if frame["client_id"] == client_id {
                return frame;
            }
        }
    });
    let (taken, refused): (Vec<_>, Vec<_>) =
        futures_util::future::join_all(sending).await.into_iter().partition(|frame| frame["type"] == "ack");
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert!(refused.iter().all(|frame| frame["error_code"] == "validation_failed"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_names_its_own_files_and_addresses_elsewhere() {
    let files = Kept::start().await;
    let tenant = TenantId::generate();
    let mut ada = desk(&files.backend, tenant, "ada", &[]).await;
    let (mut visitor, conversation) = visitor(&files.backend, tenant, None, "human").await;
    crate::inbox::ask(&mut visitor, "Where is the manual?").await;
    act(&mut ada, "claim", &conversation).await;
    let (_, its_own) = files.kept(tenant, "operator:ada").await;
    let (_, of_a_colleague) = files.kept(tenant, "operator:ben").await;
    let (_, of_a_visitor) = files.kept(tenant, &format!("visitor:{}", SessionId::generate())).await;
    let message = |attachment: &Value| {
        let client_id = Uuid::new_v4();
        json!({"type": "message", "client_id": client_id, "conversation_id": conversation, "content": "x", "attachments": [attachment]})
    };
    for refused in [of_a_colleague, of_a_visitor] {
        assert_eq!(ask(&mut ada, &message(&refused), "error").await["error_code"], "validation_failed");
    }
    let mut elsewhere = its_own.clone();
    elsewhere["url"] = json!("https://cdn.example.com/manual.png");
    for taken in [its_own, elsewhere] {
        ask(&mut ada, &message(&taken), "ack").await;
        assert_eq!(visitor.next_of("message").await["message"]["attachments"], json!([taken]));
    }
}

async fn rows(database: &DatabaseConnection, sql: &str) -> usize {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    database.query_all_raw(statement).await.expect("rows").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_message_names_goes_after_a_day() {
    let (place, folder) = (TestDatabase::new(), tempfile::tempdir().expect("a folder"));
    let files = Kept { backend: start_in(&place, &folder).await, folder };
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let actor = format!("visitor:{session}");
    let (unused, _) = files.kept(tenant, &actor).await;
    let (young, _) = files.kept(tenant, &actor).await;
    let (of_visitor, attachment) = files.kept(tenant, &actor).await;
    let (mut relay, welcome) = Relay::welcomed(&files.backend, tenant, session).await;
    let frame = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "x", "attachments": [attachment]});
    ask(&mut relay, &frame, "ack").await;
    // The tenant's own message may name a file that a visitor has sent.
    let (of_tenant, attachment) = files.kept(tenant, &actor).await;
    let conversation = welcome["conversation_id"].as_str().expect("an id");
    let message = json!({"role": "agent", "content": "y", "attachments": [attachment]});
    files.backend.post(tenant, &format!("/add/message?conversation_id={conversation}"), message).await;

    let database = Database::connect(&place.url).await.expect("it opens");
    // The sweeper goes by ids, so it comes to this row after all others.
    let last = format!(
        "INSERT INTO file (tenant_id, id, uploader, kind, mime, size, name, created_at)
             VALUES ('{tenant}', 'z', '{actor}', 'file', 'text/plain', 0, 'z', 0)"
    );
    database.execute_unprepared(&last).await.expect("a row");
    database
        .execute_unprepared(&format!("UPDATE file SET created_at = created_at - 86400001 WHERE id <> '{young}'"))
        .await
        .expect("older files");
    let again = start_in(&place, &files.folder).await;
    let begun = std::time::Instant::now();
    while rows(&database, "SELECT id FROM file WHERE id = 'z'").await > 0 {
        assert!(begun.elapsed() < e2e::process::PATIENCE, "the sweeper has not come");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let files = Kept { backend: again, folder: files.folder };
    for (id, status) in [(unused, 404), (young, 200), (of_visitor, 200), (of_tenant, 200)] {
        assert_eq!(files.read(tenant, &id).await.0, status, "{id}");
    }
}
