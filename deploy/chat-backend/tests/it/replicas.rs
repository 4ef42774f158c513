//! Several backends on one PostgreSQL: what one writes, the sockets of the others show, once and in order, whatever breaks.

use std::{collections::BTreeSet, time::Duration};

use chat_backend::Store;
use futures_util::future::join_all;
use http::Method;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::timeout};
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    admin::Admin,
    inbox::{act, ask, desk, visitor},
    sockets::{Relay, golden},
    support::{Backend, TestDatabase},
};

async fn two() -> (Backend, Backend, TestDatabase) {
    let place = TestDatabase::on_postgres();
    let (one, other) = (Backend::start_in(&place, None).await, Backend::start_in(&place, None).await);
    (one, other, place)
}

async fn database(place: &TestDatabase) -> DatabaseConnection {
    Database::connect(&place.url).await.expect("it opens")
}

async fn watch(desk: &mut Relay, conversation: &str) {
    desk.say(&json!({"type": "watch", "conversation_id": conversation})).await;
    desk.next_of("watching").await;
}

/// The next frame of a type that is about something.
async fn next_where(socket: &mut Relay, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let seeking = async {
        loop {
            let frame = socket.next_of(kind).await;
            if is_it(&frame) {
                return frame;
            }
        }
    };
    timeout(Duration::from_secs(20), seeking).await.expect("it comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_one_replica_is_shown_on_the_other() {
    let (one, other, _place) = two().await;
    let tenant = TenantId::generate();
    let mut ada = desk(&other, tenant, "ada", &[]).await;
    let (mut visitor, conversation) = visitor(&one, tenant, None, "human").await;
    let first = ask(&mut visitor, "Is anybody there?").await;
    let told = next_where(&mut ada, "conversation", |told| told["last_message"]["id"] == first).await;
    assert_eq!(
        (&told["conversation"]["id"], &told["conversation"]["handling"]),
        (&json!(conversation), &json!("waiting"))
    );

    assert_eq!(act(&mut ada, "claim", &conversation).await["conversation"]["operator"]["operator_id"], "ada");
    let status = visitor.next_of("status").await;
    assert_eq!((&status["status"], &status["operator"]["display_name"]), (&json!("assigned"), &json!("ADA")));

    // Ben comes later, through the visitor's replica, and learns who looks.
    watch(&mut ada, &conversation).await;
    let mut ben = desk(&one, tenant, "ben", &[]).await;
    let is_adas = |told: &Value| told["operators"] == json!([{"operator_id": "ada", "display_name": "ADA"}]);
    assert_eq!(next_where(&mut ben, "presence", is_adas).await["conversation_id"], conversation);

    ada.say(&json!({"type": "typing", "conversation_id": conversation})).await;
    assert_eq!(visitor.next_of("typing").await["role"], "agent");
    visitor.say(&json!({"type": "typing"})).await;
    assert_eq!(next_where(&mut ada, "typing", |told| told["role"] == "visitor").await["operator"], Value::Null);
    let second = ask(&mut visitor, "Hello!").await;
    assert_eq!(
        next_where(&mut ada, "message", |told| told["message"]["id"] == second).await["message"]["content"],
        "Hello!"
    );

    // Who leaves looks no longer.
    drop(ada);
    next_where(&mut ben, "presence", |told| told["operators"] == json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_through_two_replicas_is_one_and_a_visitors_first_begins_one_conversation() {
    let (one, other, place) = two().await;
    let tenant = TenantId::generate();
    for round in 0..20 {
        let mut hello = golden("hello", "minted_token");
        hello["visitor_user_id"] = format!("visitor-{round}").into();
        let mut sockets = Vec::new();
        for backend in [&one, &other] {
            let mut socket = Relay::connect(backend, tenant, SessionId::generate()).await;
            socket.say(&hello).await;
            assert_eq!(socket.next_of("welcome").await["conversation_id"], Value::Null);
            sockets.push(socket);
        }
        let message = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "Hi", "attachments": []});
        let acks = join_all(sockets.iter_mut().map(async |socket| {
            socket.say(&message).await;
            socket.next_of("ack").await["message_id"].clone()
        }))
        .await;
        assert_eq!(acks[0], acks[1], "round {round}");
    }
    let database = database(&place).await;
    for (table, expected) in [("conversation", 20), ("message WHERE role = 'visitor'", 20)] {
        let count = format!("SELECT count(*) AS count FROM {table}");
        let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, count)).await;
        let count: i64 = row.expect("a row").expect("a row").try_get("", "count").expect("a number");
        assert_eq!(count, expected, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_operators_on_two_replicas_one_wins_a_conversation() {
    let (one, other, _place) = two().await;
    let tenant = TenantId::generate();
    let mut desks = Vec::new();
    for (number, backend) in [&one, &other].into_iter().cycle().take(20).enumerate() {
        desks.push(desk(backend, tenant, &format!("operator-{number}"), &[]).await);
    }
    for _ in 0..10 {
        let (mut visitor, conversation) = visitor(&one, tenant, None, "human").await;
        ask(&mut visitor, "Anybody?").await;
        let answers = join_all(desks.iter_mut().map(|desk| act(desk, "claim", &conversation))).await;
        let winners: Vec<&Value> = answers.iter().filter(|answer| answer["type"] == "ack").collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let lost = answers.iter().filter(|answer| answer["error_code"] == "already_claimed").count();
        assert_eq!(lost, 19, "{answers:?}");
    }
}

/// How many messages each of the writers writes in a round: all of them in the long run, a tenth in the gate.
fn messages() -> usize {
    if std::env::var_os("E2E_LONG").is_some() { 100 } else { 10 }
}

/// How often the connections are cut by which replicas hear each other.
const ROUNDS: usize = 3;

/// Waits until both replicas listen, and cuts the connections on which they do.
async fn cut_listeners(database: &DatabaseConnection) {
    let listening = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    let listening = Statement::from_string(DbBackend::Postgres, listening);
    let both = async {
        while database.query_all_raw(listening.clone()).await.expect("sessions").len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), both).await.expect("both listen");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
    let cut = database.query_all_raw(Statement::from_string(DbBackend::Postgres, cut)).await.expect("cut");
    assert_eq!(cut.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_on_every_replica_hear_every_message_once_and_in_order_while_connections_are_cut() {
    let (one, other, place) = two().await;
    let tenant = TenantId::generate();
    let session = SessionId::generate();
    let hello = json!({
        "type": "hello", "session_id": session, "bot_id": "b", "locale": "en", "metadata": {}, "routing_key": null, "mode": "human",
        "origin": null,
    });
    let mut readers = Vec::new();
    let mut conversation = String::new();
    for backend in [&one, &other, &one, &other] {
        let mut reader = Relay::connect(backend, tenant, session).await;
        reader.say(&hello).await;
        conversation = reader.next_of("welcome").await["conversation_id"].as_str().expect("an id").to_owned();
        readers.push(reader);
    }
    let (count, path) = (ROUNDS * 4 * messages(), format!("/add/message?conversation_id={conversation}"));
    let reading = join_all(readers.iter_mut().map(async |reader| {
        let mut heard = Vec::new();
        while heard.len() < count {
            let frame = timeout(Duration::from_secs(60), reader.next_of("message")).await.expect("a message");
            heard.push(frame["message"]["id"].as_str().expect("an id").to_owned());
        }
        heard
    }));
    let writing = async {
        let database = database(&place).await;
        for round in 0..ROUNDS {
            cut_listeners(&database).await;
            join_all([&one, &other, &one, &other].into_iter().enumerate().map(async |(writer, backend)| {
                for number in 0..messages() {
                    let body = json!({"role": "agent", "content": format!("{round}.{writer}.{number}")});
                    backend.post(tenant, &path, body).await;
                }
            }))
            .await;
        }
    };
    let (heard, ()) = tokio::join!(reading, writing);
    for ids in &heard {
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
        assert_eq!(ids, &heard[0], "everybody hears the same");
    }
    assert_eq!(heard[0].iter().collect::<BTreeSet<_>>().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_loses_no_message_and_its_operators_look_no_longer() {
    let place = TestDatabase::on_postgres();
    let left = Backend::start_in(&place, None).await;
    let tenant = TenantId::generate();
    let mut ben = desk(&left, tenant, "ben", &[]).await;
    let (mut visitor, conversation) = visitor(&left, tenant, None, "human").await;
    ask(&mut visitor, "Anybody?").await;

    let killed = Runtime::new().expect("a runtime");
    let (kept, looked_at) = (place.clone(), conversation.clone());
    let began = killed.spawn(async move {
        let backend = Backend::start_in(&kept, None).await;
        let mut ada = desk(&backend, tenant, "ada", &[]).await;
        act(&mut ada, "claim", &looked_at).await;
        watch(&mut ada, &looked_at).await;
        let answer = json!({"type": "message", "client_id": Uuid::new_v4(), "conversation_id": looked_at, "content": "Here I am.", "attachments": []});
        ada.say(&answer).await;
        let kept = ada.next_of("ack").await["message_id"].clone();
        (backend, ada, kept)
    });
    let (backend, ada, answered) = began.await.expect("it serves");
    // Who looks is told apart from any commit: what a replica has not sent yet when it is killed, nobody hears.
    let is_hers = |told: &Value| told["operators"] == json!([{"operator_id": "ada", "display_name": "ADA"}]);
    next_where(&mut ben, "presence", is_hers).await;
    killed.shutdown_background();
    let heard = next_where(&mut visitor, "message", |told| told["message"]["role"] == "agent").await;
    assert_eq!(heard["message"]["id"], answered, "what was acknowledged is there");
    let nobody = |told: &Value| told["operators"] == json!([]) && told["conversation_id"] == conversation;
    next_where(&mut ben, "presence", nobody).await;
    drop((backend, ada));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_replicas_publish_of_a_conversation_comes_in_order() {
    let (place, admin) = (TestDatabase::on_postgres(), Admin::start().await);
    let (one, other) =
        (Backend::start_in(&place, Some(&admin.url)).await, Backend::start_in(&place, Some(&admin.url)).await);
    let tenant = TenantId::generate();
    let conversation = one.conversation(tenant).await;
    let path = format!("/add/message?conversation_id={conversation}");
    let writing = join_all([&one, &other, &one, &other].into_iter().map(async |backend| {
        for _ in 0..20 {
            backend.post(tenant, &path, json!({"role": "visitor", "content": "Do you sell zeppelins?"})).await;
        }
    }));
    writing.await;
    let taken = admin.until(|taken| taken.usage.len() == 80).await;
    let received = taken.of(tenant).filter(|event| event["event_type"] == "message_received");
    let received: Vec<_> = received.map(|event| event["message_id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(received.len(), 80);
    assert!(received.is_sorted(), "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_without_end_keeps_no_message_from_the_other_replica() {
    let (one, other, _place) = two().await;
    let tenant = TenantId::generate();
    let (mut ada, mut ben) = (desk(&one, tenant, "ada", &[]).await, desk(&other, tenant, "ben", &[]).await);
    let long = one.conversation_about(tenant, json!({"routing_key": "k".repeat(12_000)})).await;
    for conversation in [long, one.conversation(tenant).await] {
        watch(&mut ada, &conversation).await;
        let is_hers =
            |told: &Value| told["operators"][0]["operator_id"] == "ada" && told["conversation_id"] == conversation;
        next_where(&mut ben, "presence", is_hers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_find_each_other_again_after_their_database_has_restarted() {
    let (one, other, place) = two().await;
    let tenant = TenantId::generate();
    one.conversation(tenant).await;
    place.restart();
    for backend in [&one, &other] {
        let answers = async { while backend.call(tenant, Method::GET, "/fetch/conversations", None).await.0 != 200 {} };
        timeout(Duration::from_secs(20), answers).await.expect("it serves again");
    }
    let mut ben = desk(&other, tenant, "ben", &[]).await;
    let (mut visitor, conversation) = visitor(&one, tenant, None, "human").await;
    ask(&mut visitor, "Anybody?").await;
    // Where the replica did not listen yet as that was written, the page is told to load everything.
    loop {
        let frame = ben.next().await.expect("open");
        if frame["type"] == "resync" || frame["conversation"]["id"] == conversation {
            break;
        }
    }
    // And now it listens, so the desk hears of the next one.
    let second = ask(&mut visitor, "Hello?").await;
    next_where(&mut ben, "conversation", |told| told["last_message"]["id"] == second).await;
}

#[tokio::test]
async fn a_pooler_is_refused_with_what_to_do() {
    let place = TestDatabase::on_postgres();
    for (ignored, evidence) in
        [("extra_float_digits", "options"), ("extra_float_digits,options", "drops startup options")]
    {
        let (_pooler, url) = place.behind_a_pooler(ignored);
        let refused = Store::open(&url).await.expect_err("refused").to_string();
        assert!(refused.contains(evidence), "{refused}");
    }
}

/// The socket's next `welcome` to a conversation.
async fn welcomed_to(socket: &mut Relay, conversation: &Value) {
    next_where(socket, "welcome", |welcome| welcome["conversation_id"] == *conversation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_turn_at_once_through_two_replicas_end_in_one_conversation_and_a_sign_in_finds_all() {
    let (one, other, _place) = two().await;
    let tenant = TenantId::generate();
    for round in 0..10 {
        let session = SessionId::generate();
        let (mut here, welcome) = Relay::welcomed(&one, tenant, session).await;
        let (mut there, _) = Relay::welcomed(&other, tenant, session).await;
        let open =
            |id: &Value| json!({"type": "open_conversation", "client_id": Uuid::new_v4(), "conversation_id": id});
        let mut conversations = vec![welcome["conversation_id"].clone()];
        ask(&mut here, "hello").await;
        for _ in 0..2 {
            here.say(&open(&Value::Null)).await;
            let began = next_where(&mut here, "welcome", |welcome| welcome["client_id"].is_string()).await;
            welcomed_to(&mut there, &began["conversation_id"]).await;
            conversations.push(began["conversation_id"].clone());
            ask(&mut here, "hello").await;
        }

        // Both turn at once, to different ones. In the end both are in one of them, which is where a new page is too.
        let (first, second) = (open(&conversations[0]), open(&conversations[1]));
        tokio::join!(here.say(&first), there.say(&second));
        let (mut ended_here, mut ended_there) = (Value::Null, Value::Null);
        let (_, page) = timeout(Duration::from_secs(20), async {
            loop {
                ended_here = shown(&mut here, ended_here.clone()).await;
                ended_there = shown(&mut there, ended_there.clone()).await;
                let (socket, page) = Relay::welcomed(&one, tenant, session).await;
                if ended_here == page["conversation_id"] && ended_there == page["conversation_id"] {
                    return (socket, page);
                }
            }
        })
        .await
        .expect("both follow");
        assert!(conversations[..2].contains(&page["conversation_id"]), "round {round}");

        // The page signs the visitor in while a tab turns.
        let mut hello = golden("hello", "identified");
        hello["session_id"] = json!(SessionId::generate());
        hello["visitor_user_id"] = format!("visitor-{round}").into();
        hello["continues"] = json!(session);
        let known = hello["session_id"].as_str().expect("an id").parse().expect("a session");
        let mut known = Relay::connect(&other, tenant, known).await;
        let third = open(&conversations[2]);
        tokio::join!(here.say(&third), known.say(&hello));
        let welcome = known.next_of("welcome").await;
        assert!(conversations.contains(&welcome["conversation_id"]), "round {round}: {welcome}");
        known.say(&golden("client", "conversations")).await;
        let listed = known.next_of("conversations").await["conversations"].as_array().expect("a list").len();
        assert_eq!(listed, 3, "round {round}");
    }
}

/// The conversation that a socket shows once nothing comes for a moment.
async fn shown(socket: &mut Relay, before: Value) -> Value {
    let mut shown = before;
    while let Ok(frame) = timeout(Duration::from_millis(300), socket.next()).await {
        let frame = frame.expect("open");
        if frame["type"] == "welcome" {
            shown = frame["conversation_id"].clone();
        }
    }
    shown
}
