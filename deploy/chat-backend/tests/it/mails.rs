//! What people answer is mailed to visitors who have not read it: each answer once.

use std::time::Duration;

use chat_backend::config::{Config, MailConfig};
use sea_orm::{ConnectionTrait as _, Database};
use serde_json::{Value, json};
use service::config::Sources;
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    inbox::{act, ask, desk},
    smtp::MailServer,
    sockets::Relay,
    support::{Backend, TestDatabase},
};

/// How long an answer is unread before it is mailed.
const AFTER: Duration = Duration::from_secs(1);

/// Long enough for a visitor to read, however busy the machine is.
const LONG_AFTER: Duration = Duration::from_secs(4);

fn config(server: &MailServer, after: Duration) -> MailConfig {
    let set = [
        ("CHAT_BACKEND_SMTP_URL", server.url.clone()),
        ("CHAT_BACKEND_SMTP_FROM", "Support <chat@relay.example>".to_owned()),
        ("CHAT_BACKEND_MAIL_AFTER_MS", after.as_millis().to_string()),
    ];
    let env = set.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Config::load(&Sources { args: Vec::new(), env }).expect("settings").mail.expect("mail is sent")
}

struct Scene {
    backend: Backend,
    server: MailServer,
    tenant: TenantId,
    ada: Relay,
    visitor: Relay,
    conversation: String,
    session: SessionId,
}

async fn hello(backend: &Backend, tenant: TenantId, session: SessionId, locale: &str) -> (Relay, Value) {
    let mut visitor = Relay::connect(backend, tenant, session).await;
    visitor
        .say(&json!({
            "type": "hello", "session_id": session, "bot_id": "b", "locale": locale, "metadata": {"page": "https://evil.example"},
            "routing_key": null, "mode": "human", "origin": "https://shop.example.com",
        }))
        .await;
    let welcome = visitor.hear().await;
    (visitor, welcome)
}

impl Scene {
    /// A visitor has asked, and Ada has the conversation.
    async fn begin(place: &TestDatabase, locale: &str, after: Duration) -> Self {
        let server = MailServer::start().await;
        let backend = Backend::start_mailing(place, &config(&server, after)).await;
        let (tenant, session) = (TenantId::generate(), SessionId::generate());
        let mut ada = desk(&backend, tenant, "ada", &[]).await;
        let (mut visitor, welcome) = hello(&backend, tenant, session, locale).await;
        assert_eq!((&welcome["may_leave_email"], &welcome["email"]), (&json!(true), &Value::Null));
        let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
        ask(&mut visitor, "Where is my parcel?").await;
        act(&mut ada, "claim", &conversation).await;
        Self { backend, server, tenant, ada, visitor, conversation, session }
    }

    async fn leave_email(&mut self, email: &str) {
        let id = Uuid::new_v4().to_string();
        self.visitor.say(&json!({"type": "leave_email", "client_id": id, "email": email})).await;
        assert_eq!(self.visitor.next_of("email").await["email"], email);
    }

    /// Ada's answer; its id.
    async fn answer(&mut self, content: &str) -> String {
        let id = Uuid::new_v4().to_string();
        let conversation = &self.conversation;
        self.ada
            .say(&json!({"type": "message", "client_id": id, "conversation_id": conversation, "content": content, "attachments": []}))
            .await;
        self.ada.next_of("ack").await["message_id"].as_str().expect("an id").to_owned()
    }

    async fn read(&mut self, message_id: &str) {
        self.visitor.say(&json!({"type": "read", "message_id": message_id})).await;
    }

    /// Waits until the mailer has looked at everything that was due.
    async fn nothing_due(&self, place: &TestDatabase) {
        let database = Database::connect(&place.url).await.expect("it opens");
        for _ in 0..400 {
            let sql = "SELECT id FROM conversation WHERE mail_due_at IS NOT NULL";
            let statement = sea_orm::Statement::from_string(database.get_database_backend(), sql);
            if database.query_all_raw(statement).await.expect("rows").is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("something is due for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_visitor_has_not_read_is_mailed_once() {
    let place = TestDatabase::new();
    let mut scene = Scene::begin(&place, "en", AFTER).await;
    scene.leave_email("visitor@example.com").await;
    scene.answer("It left yesterday.").await;
    scene.answer("It will be there tomorrow: ✓\n.\nA line that is a full stop.").await;
    scene.server.wait_for(1).await;
    scene.nothing_due(&place).await;
    let mails = scene.server.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(mail.to, ["visitor@example.com"]);
    assert_eq!(mail.header("Subject"), "An answer to your message on shop.example.com");
    assert_eq!(mail.header("From"), "Support <chat@relay.example>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@relay.example>"), "{mail:?}");
    let body = mail.body();
    for expected in
        ["ADA answered you:", "It left yesterday.", "tomorrow: ✓\r\n.\r\nA line", "https://shop.example.com"]
    {
        assert!(body.contains(expected), "{expected}: {body}");
    }
    for never in ["Where is my parcel?", "evil.example"] {
        assert!(
            !body.contains(never),
            "what the visitor's side says is not sent to an address that nobody checked: {body}"
        );
    }

    // A further answer is a mail of its own, without the earlier ones.
    scene.answer("It is here.").await;
    scene.server.wait_for(2).await;
    scene.nothing_due(&place).await;
    let mails = scene.server.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[1].body().contains("It is here.") && !mails[1].body().contains("yesterday"), "{mails:?}");

    // The operator and the visitor's next tab know the address.
    let path = format!("/fetch/conversation?conversation_id={}", scene.conversation);
    assert_eq!(scene.backend.get(scene.tenant, &path).await["answers_email"], "visitor@example.com");
    assert_eq!(hello(&scene.backend, scene.tenant, scene.session, "en").await.1["email"], "visitor@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_or_answered_is_not_mailed_and_an_address_that_comes_late_is_used() {
    let place = TestDatabase::new();
    let mut scene = Scene::begin(&place, "fr-CA", LONG_AFTER).await;
    scene.leave_email("visitor@example.com").await;
    let read = scene.answer("Read at once.").await;
    scene.read(&read).await;
    scene.nothing_due(&place).await;
    scene.answer("Answered at once.").await;
    ask(&mut scene.visitor, "I see it.").await;
    scene.nothing_due(&place).await;
    assert_eq!(scene.server.offered(), 0);

    // The last address counts.
    scene.leave_email("other@example.com").await;
    scene.answer("Enfin.").await;
    scene.server.wait_for(1).await;
    scene.nothing_due(&place).await;
    let mails = scene.server.mails();
    assert_eq!((mails.len(), &mails[0].to), (1, &vec!["other@example.com".to_owned()]));
    assert_eq!(mails[0].header("Subject"), "Une =?utf-8?b?csOpcG9uc2Ugw6A=?= votre message sur shop.example.com");
    assert!(mails[0].body().contains("ADA vous a répondu :") && !mails[0].body().contains("at once"), "{mails:?}");

    let elsewhere = TestDatabase::new();
    let mut late = Scene::begin(&elsewhere, "en", AFTER).await;
    late.answer("Nobody can be told.").await;
    late.nothing_due(&elsewhere).await;
    assert_eq!(late.server.offered(), 0);
    late.leave_email("late@example.com").await;
    late.server.wait_for(1).await;
    assert!(late.server.mails()[0].body().contains("Nobody can be told."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_nobody_takes_is_tried_again_as_it_was_and_one_that_is_refused_is_given_up() {
    let place = TestDatabase::new();
    let mut scene = Scene::begin(&place, "en", AFTER).await;
    scene.leave_email("visitor@example.com").await;
    scene.server.refuse_next("451 try again later");
    scene.answer("First.").await;
    scene.server.wait_for(1).await;
    // What is answered meanwhile waits for the next mail: the first one stays the one that was tried.
    scene.answer("Second.").await;
    let database = Database::connect(&place.url).await.expect("it opens");
    let now = "UPDATE conversation SET mail_due_at = 0 WHERE mailing_up_to IS NOT NULL AND mail_attempts = 1";
    loop {
        // The attempt is over once its pause is noted, a minute from now: nobody waits for it here.
        let due = format!("{now} AND mail_due_at < {}", wire::time::now_unix_ms() + 61_000);
        if database.execute_unprepared(&due).await.expect("rows").rows_affected() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.server.wait_for(3).await;
    scene.nothing_due(&place).await;
    let mails = scene.server.mails();
    let [first, second] = mails.as_slice() else { panic!("{mails:?}") };
    assert!(first.body().contains("First.") && !first.body().contains("Second."), "{first:?}");
    assert!(second.body().contains("Second.") && !second.body().contains("First."), "{second:?}");
    assert_ne!(first.header("Message-ID"), second.header("Message-ID"));

    scene.server.refuse_next("550 no such mailbox");
    scene.answer("Third.").await;
    scene.server.wait_for(4).await;
    scene.nothing_due(&place).await;
    assert_eq!((scene.server.offered(), scene.server.mails().len()), (4, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_send_one_mail() {
    let place = TestDatabase::on_postgres();
    let mut scene = Scene::begin(&place, "en", AFTER).await;
    let second = Backend::start_mailing(&place, &config(&scene.server, AFTER)).await;
    scene.leave_email("visitor@example.com").await;
    for round in 1..=5 {
        scene.answer(&format!("Answer {round}.")).await;
        scene.server.wait_for(round).await;
        scene.nothing_due(&place).await;
        assert_eq!(scene.server.offered(), round);
    }
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mail_server_no_address_is_asked_for_and_nothing_is_noted() {
    let place = TestDatabase::new();
    let backend = Backend::start_in(&place, None).await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let (mut visitor, welcome) = hello(&backend, tenant, session, "en").await;
    assert_eq!(welcome["may_leave_email"], false);
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    ask(&mut visitor, "Hello?").await;
    act(&mut ada, "claim", &conversation).await;
    let id = Uuid::new_v4().to_string();
    ada.say(&json!({"type": "message", "client_id": id, "conversation_id": conversation, "content": "Hi.", "attachments": []}))
        .await;
    ada.next_of("ack").await;
    let database = Database::connect(&place.url).await.expect("it opens");
    let sql = "UPDATE conversation SET mail_attempts = 0 WHERE mail_due_at IS NOT NULL";
    assert_eq!(database.execute_unprepared(sql).await.expect("rows").rows_affected(), 0);
}

/// What was mailed of a conversation that a call began, after an answer of Ada's.
async fn mailed_of(path: &str, body: Value) -> Vec<crate::smtp::Mail> {
    let place = TestDatabase::new();
    let server = MailServer::start().await;
    let backend = Backend::start_mailing(&place, &config(&server, AFTER)).await;
    let tenant = TenantId::generate();
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let begun = backend.post(tenant, path, body).await;
    let id = begun["conversation_id"].as_str().or(begun["id"].as_str()).expect("an id").to_owned();
    act(&mut ada, "claim", &id).await;
    let client_id = Uuid::new_v4().to_string();
    ada.say(
        &json!({"type": "message", "client_id": client_id, "conversation_id": id, "content": "Hi.", "attachments": []}),
    )
    .await;
    ada.next_of("ack").await;
    let scene = Scene {
        visitor: desk(&backend, tenant, "ben", &[]).await,
        session: SessionId::generate(),
        conversation: id,
        backend,
        server,
        tenant,
        ada,
    };
    scene.nothing_due(&place).await;
    scene.server.mails()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_form_is_answered_by_mail_and_its_words_become_no_link() {
    let form = json!({
        "customer_email": "ada@example.com", "customer_name": "Ada", "subject": "Invoice", "message": "Where is it?", "locale": "en",
        "metadata": {"origin": "https://evil.example"},
    });
    let mails = mailed_of("/create/contact-ticket", form).await;
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(
        (&mail.to, mail.header("Subject").as_str()),
        (&vec!["ada@example.com".to_owned()], "An answer to your message")
    );
    assert!(!mail.body().contains("evil.example") && !mail.body().contains("Where is it?"), "{}", mail.body());

    // A tenant's backend that knows a visitor's address shows the answers where it likes.
    let known = json!({"visitor_user_id": "customer-42", "visitor_email": "ada@example.com", "locale": "en"});
    assert!(mailed_of("/create/conversation", known).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_names_nobody_where_not_all_answers_are_the_holders() {
    let place = TestDatabase::new();
    let mut scene = Scene::begin(&place, "en", LONG_AFTER).await;
    scene.leave_email("visitor@example.com").await;
    scene.answer("Ada's words.").await;
    act(&mut scene.ada, "release", &scene.conversation).await;
    let mut ben = desk(&scene.backend, scene.tenant, "ben", &[]).await;
    act(&mut ben, "claim", &scene.conversation).await;
    scene.server.wait_for(1).await;
    let body = scene.server.mails()[0].body();
    assert!(body.contains("Ada's words.") && body.starts_with("You have an answer:"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_lets_nobody_in_costs_no_mail() {
    let place = TestDatabase::new();
    let mut scene = Scene::begin(&place, "en", AFTER).await;
    scene.leave_email("visitor@example.com").await;
    // The password was changed, or the address is blocked for a while: the greeting itself refuses.
    scene.server.let_nobody_in(true);
    scene.answer("Sooner or later.").await;
    let database = Database::connect(&place.url).await.expect("it opens");
    // An attempt is over once its pause is noted, which is a minute or five; while it goes on, the row is due in two. Nobody waits for the
    // pause here.
    let again = async || {
        let now = wire::time::now_unix_ms();
        let sql = format!(
            "UPDATE conversation SET mail_due_at = 0 WHERE mailing_up_to IS NOT NULL AND mail_due_at > 0
                 AND (mail_due_at < {} OR mail_due_at > {})",
            now + 100_000,
            now + 200_000
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        database.execute_unprepared(&sql).await.expect("rows").rows_affected() > 0
    };
    let mut attempts = 0;
    while attempts < 2 {
        attempts += usize::from(again().await);
    }
    assert_eq!(scene.server.offered(), 0);
    scene.server.let_nobody_in(false);
    while scene.server.offered() == 0 {
        again().await;
    }
    scene.nothing_due(&place).await;
    assert_eq!(scene.server.mails().len(), 1);
}
