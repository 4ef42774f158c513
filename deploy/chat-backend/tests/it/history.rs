//! A visitor's client reads a long conversation backwards, a page at a time.

use serde_json::{Value, json};
use wire::{SessionId, TenantId};

use crate::{sockets::Relay, support::Backend};

async fn add(backend: &Backend, tenant: TenantId, conversation: &str, content: &str) {
    let message = json!({"role": "agent", "content": content});
    backend.post(tenant, &format!("/add/message?conversation_id={conversation}"), message).await;
}

/// What was said before a message, and whether nothing was said before that.
async fn before(socket: &mut Relay, id: &str, limit: u8) -> (Vec<Value>, bool) {
    socket.say(&json!({"type": "history", "before": id, "limit": limit})).await;
    let mut page = socket.next_of("history").await;
    let Value::Array(messages) = page["messages"].take() else { panic!("a list") };
    (messages, page["complete"].as_bool().expect("said"))
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"].as_str().expect("a text")).collect()
}

fn id(message: &Value) -> &str {
    message["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_conversation_is_read_backwards_whole_and_in_order() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (_, welcome) = Relay::welcomed(&backend, tenant, session).await;
    assert_eq!(welcome["complete"], true, "nothing was said");
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    let said: Vec<String> = (0..120).map(|number| format!("message {number}")).collect();
    for content in &said {
        add(&backend, tenant, &conversation, content).await;
    }

    let (mut socket, welcome) = Relay::welcomed(&backend, tenant, session).await;
    assert_eq!(welcome["complete"], false);
    let mut known = welcome["history"].as_array().expect("a list").clone();
    assert_eq!(contents(&known), said[70..]);
    let (page, complete) = before(&mut socket, id(&known[0]), 50).await;
    assert_eq!((contents(&page), complete), (said[20..70].iter().map(String::as_str).collect(), false));
    known.splice(0..0, page);
    let (page, complete) = before(&mut socket, id(&known[0]), 19).await;
    assert_eq!((page.len(), complete), (19, false), "one is left");
    known.splice(0..0, page);
    let (page, complete) = before(&mut socket, id(&known[0]), 1).await;
    assert_eq!((contents(&page), complete), (vec!["message 0"], true));
    assert_eq!(before(&mut socket, id(&page[0]), 50).await, (Vec::new(), true));

    // A message of another conversation, and what is no id, are not found here.
    let other = TenantId::generate();
    let (_, theirs) = Relay::welcomed(&backend, other, SessionId::generate()).await;
    add(&backend, other, theirs["conversation_id"].as_str().expect("an id"), "theirs").await;
    let items = backend
        .get(other, &format!("/fetch/messages?conversation_id={}", theirs["conversation_id"].as_str().expect("an id")))
        .await;
    for unknown in [id(&items["items"][0]), "nothing"] {
        socket.say(&json!({"type": "history", "before": unknown, "limit": 50})).await;
        assert_eq!(socket.next_of("error").await["error_code"], "message_not_found", "{unknown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_come_in_smaller_pages_and_none_is_left_out() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let (_, welcome) = Relay::welcomed(&backend, tenant, session).await;
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    let said: Vec<String> = (0..60).map(|number| format!("{number} {}", "é".repeat(7990))).collect();
    for content in &said {
        add(&backend, tenant, &conversation, content).await;
    }
    let (mut socket, welcome) = Relay::welcomed(&backend, tenant, session).await;
    let mut known = welcome["history"].as_array().expect("a list").clone();
    let mut complete = welcome["complete"].as_bool().expect("said");
    let mut pages = 1;
    while !complete {
        let page;
        (page, complete) = before(&mut socket, id(&known[0]), 50).await;
        assert!(!page.is_empty() && json!(page).to_string().len() <= 256 * 1024 + page.len() + 1);
        known.splice(0..0, page);
        pages += 1;
    }
    assert!(pages > 2, "{pages} pages");
    assert_eq!(contents(&known), said);
}
