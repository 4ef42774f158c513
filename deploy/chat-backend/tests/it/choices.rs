//! What visitors choose: whether an answer helped, a quick reply, and which of their conversations they are in.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    inbox::{act, ask, desk, visitor},
    sockets::{Relay, golden},
    support::Backend,
};

/// A tab of a visitor to whom the bot answers, and its welcome.
async fn tab(backend: &Backend, tenant: TenantId, session: SessionId) -> (Relay, Value) {
    let mut tab = Relay::connect(backend, tenant, session).await;
    let mut hello = golden("hello", "session");
    (hello["session_id"], hello["mode"], hello["locale"]) = (json!(session), json!("bot"), json!("en"));
    tab.say(&hello).await;
    let welcome = tab.next_of("welcome").await;
    (tab, welcome)
}

async fn ingest(backend: &Backend, tenant: TenantId, title: &str, body: &str) {
    backend.post(tenant, "/ingest/knowledge", json!({"title": title, "body": body, "language": "en"})).await;
}

/// What the relay answers to a frame: the frame that names its `client_id`.
async fn answered(tab: &mut Relay, mut frame: Value) -> Value {
    let id = Uuid::new_v4().to_string();
    frame["client_id"] = json!(id);
    tab.say(&frame).await;
    loop {
        let answer = tab.hear().await;
        if answer["client_id"] == id {
            return answer;
        }
    }
}

async fn open(tab: &mut Relay, conversation: &Value) -> Value {
    answered(tab, json!({"type": "open_conversation", "conversation_id": conversation})).await
}

async fn list(tab: &mut Relay) -> Vec<Value> {
    tab.say(&golden("client", "conversations")).await;
    tab.next_of("conversations").await["conversations"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_says_whether_an_answer_helped_and_everybody_sees_it() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    ingest(&backend, tenant, "Orders", "Track your order from the link in your e-mail.").await;
    let (mut one, welcome) = tab(&backend, tenant, session).await;
    let (mut other, _) = tab(&backend, tenant, session).await;
    let own = ask(&mut one, "Where is my order?").await;
    let answer = one.next_of("message").await["message"].clone();
    assert_eq!(answer["feedback"], "asked");
    assert_eq!(
        other.next_of("message").await["message"]["feedback"],
        Value::Null,
        "nobody is asked of the visitor's own"
    );

    let say = |feedback: &str| json!({"type": "feedback", "message_id": answer["id"], "feedback": feedback, "client_id": Uuid::new_v4()});
    for (feedback, is_news) in [("helpful", true), ("helpful", false), ("unhelpful", true)] {
        one.say(&say(feedback)).await;
        let told = one.next_of("feedback").await;
        assert_eq!((&told["message_id"], &told["feedback"]), (&answer["id"], &json!(feedback)));
        // The other tab is told what is kept when its backend looks: of two changes at once, perhaps the second alone.
        if is_news {
            assert_eq!(other.next_of("feedback").await["feedback"], feedback, "the other tab, once for each change");
        }
    }
    let (_, later) = tab(&backend, tenant, session).await;
    assert_eq!(later["history"][1]["feedback"], "unhelpful");
    let conversation = welcome["conversation_id"].as_str().expect("an id");
    let kept = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}")).await;
    assert_eq!(kept["items"][1]["feedback"], "unhelpful", "the tenant's backend");

    // Nobody is asked of anything else.
    for (message, code) in [
        (json!(own), "message_not_found"),
        (json!(Uuid::new_v4()), "message_not_found"),
        (json!("x".repeat(65)), "validation_failed"),
        (Value::Null, "validation_failed"),
    ] {
        let frame = json!({"type": "feedback", "message_id": message, "feedback": "helpful"});
        assert_eq!(answered(&mut one, frame).await["error_code"], code, "{message}");
    }
    for feedback in [json!("asked"), json!("great"), json!(true), Value::Null] {
        let frame = json!({"type": "feedback", "message_id": answer["id"], "feedback": feedback});
        assert_eq!(answered(&mut one, frame).await["error_code"], "validation_failed", "{feedback}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_does_not_know_offers_what_it_knows_and_answers_that() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    ingest(&backend, tenant, "Delivery times", "Parcels arrive within three days.").await;
    ingest(&backend, tenant, "Returns", "Send parcels back within a month.").await;
    let (mut visitor, _) = tab(&backend, tenant, SessionId::generate()).await;
    ask(&mut visitor, "May parcels travel abroad with fragile porcelain inside?").await;
    let told = visitor.next_of("message").await["message"].clone();
    assert_eq!(told["role"], "system");
    let mut topics: Vec<String> = serde_json::from_value(told["quick_replies"].clone()).expect("texts");
    topics.sort();
    assert_eq!(topics, ["Delivery times", "Returns"]);
    for (topic, answer) in [(0, "Parcels arrive within three days."), (1, "Send parcels back within a month.")] {
        ask(&mut visitor, &topics[topic]).await;
        assert_eq!(visitor.next_of("message").await["message"]["content"], answer, "{}", topics[topic]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_backend_offers_quick_replies_of_its_own() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let (mut visitor, welcome) = tab(&backend, tenant, SessionId::generate()).await;
    let path = format!("/add/message?conversation_id={}", welcome["conversation_id"].as_str().expect("an id"));
    let body = json!({"role": "bot", "content": "Which one?", "quick_replies": ["The blue one", "The red one"]});
    assert_eq!(backend.post(tenant, &path, body.clone()).await["quick_replies"], body["quick_replies"]);
    assert_eq!(visitor.next_of("message").await["message"]["quick_replies"], body["quick_replies"]);
    for (role, replies) in [
        ("visitor", json!(["Yes"])),
        ("bot", json!(["Yes", " "])),
        ("bot", json!(["x".repeat(81)])),
        ("bot", json!(["1", "2", "3", "4", "5", "6"])),
        ("bot", json!("Yes")),
    ] {
        let body = json!({"role": role, "content": "Which one?", "quick_replies": replies});
        let (status, refused) = backend.call(tenant, Method::POST, &path, Some(body)).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("quick_replies")), "{role} {replies}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_person_hears_how_long_others_of_the_queue_have_waited() {
    let backend = Backend::start().await;
    let (tenant, elsewhere) = (TenantId::generate(), TenantId::generate());
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    for _ in 0..3 {
        let (mut one, conversation) = visitor(&backend, tenant, Some("sales"), "human").await;
        ask(&mut one, "Is anybody there?").await;
        act(&mut ada, "claim", &conversation).await;
    }
    let hello = |queue: &str, session: SessionId| {
        let mut hello = golden("hello", "session");
        (hello["session_id"], hello["routing_key"]) = (json!(session), json!(queue));
        hello
    };
    for (of, queue, expected) in
        [(tenant, "sales", json!(0)), (tenant, "support", Value::Null), (elsewhere, "sales", Value::Null)]
    {
        let session = SessionId::generate();
        let mut next = Relay::connect(&backend, of, session).await;
        next.say(&hello(queue, session)).await;
        assert_eq!(next.next_of("welcome").await["expected_wait_s"], expected, "{queue}");
    }
    // A visitor who begins to wait hears it with the status.
    let session = SessionId::generate();
    let mut next = Relay::connect(&backend, tenant, session).await;
    let mut bots = hello("sales", session);
    bots["mode"] = json!("bot");
    next.say(&bots).await;
    assert_eq!(next.next_of("welcome").await["expected_wait_s"], Value::Null, "nobody waits while the bot answers");
    ask(&mut next, "I want to talk to a person").await;
    assert_eq!(next.next_of("status").await["expected_wait_s"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_begins_another_conversation_and_goes_back_with_every_tab() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (mut one, welcome) = tab(&backend, tenant, session).await;
    let (mut other, _) = tab(&backend, tenant, session).await;
    assert_eq!(welcome["may_open"], true);
    assert_eq!(list(&mut one).await, Vec::<Value>::new(), "nothing was said yet");
    let first = welcome["conversation_id"].clone();
    assert_eq!(open(&mut one, &Value::Null).await["conversation_id"], first, "one without a word is as good as new");
    ask(&mut one, "hello").await;

    let second = open(&mut one, &Value::Null).await;
    assert_ne!(second["conversation_id"], first);
    assert_eq!((&second["history"], &second["session_id"]), (&json!([]), &json!(session)));
    assert_eq!(
        open(&mut one, &Value::Null).await["conversation_id"],
        second["conversation_id"],
        "a frame that comes twice"
    );
    let followed = other.next_of("welcome").await;
    assert_eq!((&followed["conversation_id"], &followed["client_id"]), (&second["conversation_id"], &Value::Null));
    ask(&mut other, "Is this another matter?").await;
    one.next_of("message").await;
    let (_, later) = tab(&backend, tenant, session).await;
    assert_eq!(later["conversation_id"], second["conversation_id"], "a new page");

    let listed = list(&mut one).await;
    let ids: Vec<_> = listed.iter().map(|one| one["conversation_id"].clone()).collect();
    assert_eq!(ids, [second["conversation_id"].clone(), first.clone()]);
    assert_eq!(listed[1]["preview"], "Hello! What can I do for you?");
    assert_eq!((&listed[1]["status"], &listed[1]["unread"]), (&json!("bot"), &json!(true)), "its answer was not read");

    let back = open(&mut one, &first).await;
    assert_eq!((&back["conversation_id"], &back["history"][0]["content"]), (&first, &json!("hello")));
    assert_eq!(other.next_of("welcome").await["conversation_id"], first);
    let answer = back["history"][1]["id"].clone();
    one.say(&json!({"type": "read", "message_id": answer})).await;
    assert_eq!(list(&mut one).await[1]["unread"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_said_in_the_conversation_it_was_written_in_once_and_is_answered_there() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (mut one, welcome) = tab(&backend, tenant, session).await;
    ask(&mut one, "hello").await;
    let first = welcome["conversation_id"].clone();
    let second = open(&mut one, &Value::Null).await["conversation_id"].clone();
    // The line to the first one was cut before it could be sent, or before its answer came.
    let message = json!({
        "type": "message", "client_id": Uuid::new_v4(), "content": "hello there", "attachments": [], "conversation_id": first
    });
    let mut acks = Vec::new();
    for _ in 0..2 {
        one.say(&message).await;
        acks.push(one.next_of("ack").await);
    }
    assert_eq!(acks[0], acks[1]);
    assert_eq!(acks[0]["conversation_id"], first);
    let (_, later) = tab(&backend, tenant, session).await;
    assert_eq!((&later["conversation_id"], &later["history"]), (&second, &json!([])), "nothing of it is said here");
    let path = format!("/fetch/messages?conversation_id={}", first.as_str().expect("an id"));
    let said = backend.get(tenant, &path).await["items"].as_array().expect("a list").clone();
    let said: Vec<_> = said.iter().map(|message| message["content"].as_str().expect("words")).collect();
    assert_eq!(said, ["hello", "Hello! What can I do for you?", "hello there", "Hello! What can I do for you?"]);

    // What names no conversation of the visitor's is said where the visitor is.
    let (_, strangers) = tab(&backend, tenant, SessionId::generate()).await;
    for elsewhere in [strangers["conversation_id"].clone(), json!("no id"), json!(Uuid::new_v4())] {
        let message = json!({
            "type": "message", "client_id": Uuid::new_v4(), "content": "here", "attachments": [], "conversation_id": elsewhere
        });
        one.say(&message).await;
        assert_eq!(one.next_of("ack").await["conversation_id"], second, "{elsewhere}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_reaches_its_answer_from_another_conversation() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    ingest(&backend, tenant, "Orders", "Track your order from the link in your e-mail.").await;
    let (mut one, welcome) = tab(&backend, tenant, session).await;
    ask(&mut one, "Where is my order?").await;
    let answer = one.next_of("message").await["message"]["id"].clone();
    open(&mut one, &Value::Null).await;
    one.say(&json!({"type": "feedback", "client_id": Uuid::new_v4(), "message_id": answer, "feedback": "helpful"}))
        .await;
    assert_eq!(one.next_of("feedback").await["message_id"], answer);
    let back = open(&mut one, &welcome["conversation_id"]).await;
    assert_eq!(back["history"][1]["feedback"], "helpful");
    let (mut stranger, _) = tab(&backend, tenant, SessionId::generate()).await;
    let frame = json!({"type": "feedback", "message_id": answer, "feedback": "unhelpful"});
    assert_eq!(answered(&mut stranger, frame).await["error_code"], "message_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_waited_before_the_first_message() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let mut waited = Vec::new();
    for _ in 0..3 {
        waited.push(visitor(&backend, tenant, None, "human").await);
    }
    // Longer than a second: the panel stood open, and nothing was said.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    for (one, conversation) in &mut waited {
        ask(one, "Is anybody there?").await;
        act(&mut ada, "claim", conversation).await;
    }
    // Nor has anybody to whom the tenant's backend speaks first.
    let (_quiet, conversation) = visitor(&backend, tenant, None, "human").await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let greeting = json!({"role": "agent", "content": "Can I help you?"});
    backend.post(tenant, &format!("/add/message?conversation_id={conversation}"), greeting).await;
    let (_, welcome) = Relay::welcomed(&backend, tenant, SessionId::generate()).await;
    assert_eq!(welcome["expected_wait_s"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_another_visitors() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (mut one, welcome) = tab(&backend, tenant, session).await;
    ask(&mut one, "hello").await;
    let (mut stranger, own) = tab(&backend, tenant, SessionId::generate()).await;
    let (mut elsewhere, _) = tab(&backend, TenantId::generate(), session).await;
    for (tab, id) in [
        (&mut stranger, welcome["conversation_id"].clone()),
        (&mut elsewhere, welcome["conversation_id"].clone()),
        (&mut one, own["conversation_id"].clone()),
    ] {
        assert_eq!(open(tab, &id).await["error_code"], "conversation_not_found");
    }
    for wrong in [json!(""), json!("x".repeat(65)), json!(7), json!("a\u{0}b")] {
        assert_eq!(open(&mut one, &wrong).await["error_code"], "validation_failed", "{wrong}");
    }
    assert_eq!(list(&mut stranger).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_visitor_without_a_conversation_opens_one_and_sees_none() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut hello = golden("hello", "minted_token");
    hello["session_id"] = json!(session);
    let mut known = Relay::connect(&backend, tenant, session).await;
    known.say(&hello).await;
    assert_eq!(known.next_of("welcome").await["conversation_id"], Value::Null);
    assert_eq!(list(&mut known).await, Vec::<Value>::new());
    assert_eq!(open(&mut known, &json!(Uuid::new_v4())).await["error_code"], "conversation_not_found");
    let frame = json!({"type": "feedback", "message_id": Uuid::new_v4(), "feedback": "helpful"});
    assert_eq!(answered(&mut known, frame).await["error_code"], "conversation_not_found");
    let opened = open(&mut known, &Value::Null).await;
    assert!(opened["conversation_id"].is_string(), "{opened}");
    ask(&mut known, "Bonjour").await;
    assert_eq!(list(&mut known).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_visitor_hears_which_conversation_the_first_message_began_in_every_tab() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut hello = golden("hello", "minted_token");
    hello["session_id"] = json!(session);
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let mut known = Relay::connect(&backend, tenant, session).await;
        known.say(&hello).await;
        assert_eq!(known.next_of("welcome").await["conversation_id"], Value::Null);
        tabs.push(known);
    }
    let mut other = tabs.pop().expect("a tab");
    let mut one = tabs.pop().expect("a tab");
    let message = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "Bonjour", "attachments": []});
    one.say(&message).await;
    let began = one.next_of("ack").await["conversation_id"].clone();
    assert!(began.is_string(), "{began}");
    let welcome = other.next_of("welcome").await;
    assert_eq!(welcome["conversation_id"], began);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_right_after_beginning_a_conversation_keeps_both() {
    let backend = Backend::start().await;
    let (tenant, before) = (TenantId::generate(), SessionId::generate());
    let (mut anonymous, first) = tab(&backend, tenant, before).await;
    ask(&mut anonymous, "hello").await;
    let second = open(&mut anonymous, &Value::Null).await["conversation_id"].clone();
    let session = SessionId::generate();
    let mut hello = golden("hello", "identified");
    (hello["session_id"], hello["continues"]) = (json!(session), json!(before));
    let mut known = Relay::connect(&backend, tenant, session).await;
    known.say(&hello).await;
    assert_eq!(known.next_of("welcome").await["conversation_id"], second, "the first message is on its way to it");
    assert_eq!(list(&mut known).await[0]["conversation_id"], first["conversation_id"]);
}
