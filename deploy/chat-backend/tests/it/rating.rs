//! A visitor rates a conversation that is resolved: the operators, the tenant's backend and the visitor's other tabs see it.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    inbox::{act, ask, desk},
    sockets::Relay,
    support::Backend,
};

async fn rate(tab: &mut Relay, score: u8, comment: Option<&str>) -> Value {
    let id = Uuid::new_v4().to_string();
    tab.say(&json!({"type": "rate", "client_id": id, "score": score, "comment": comment})).await;
    loop {
        let frame = tab.hear().await;
        match frame["type"].as_str() {
            Some("rating") => return frame,
            Some("error") => {
                assert_eq!(frame["client_id"], id);
                return frame;
            }
            _ => {}
        }
    }
}

/// The next rating on a socket.
async fn rated(tab: &mut Relay) -> Value {
    tab.next_of("rating").await["rating"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_rates_what_is_resolved_and_everybody_sees_it() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let (mut one, welcome) = Relay::welcomed(&backend, tenant, session).await;
    let (mut other, _) = Relay::welcomed(&backend, tenant, session).await;
    assert_eq!((&welcome["may_rate"], &welcome["rating"]), (&json!(true), &Value::Null));
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    ask(&mut one, "Is anybody there?").await;

    // Nothing is rated that goes on.
    assert_eq!(rate(&mut one, 5, None).await["error_code"], "conversation_not_resolved");
    act(&mut ada, "claim", &conversation).await;
    assert_eq!(rate(&mut one, 5, None).await["error_code"], "conversation_not_resolved");

    act(&mut ada, "resolve", &conversation).await;
    let first = rate(&mut one, 4, Some("Quick, thank you.")).await["rating"].clone();
    assert_eq!((&first["score"], &first["comment"]), (&json!(4), &json!("Quick, thank you.")));
    assert_eq!(rated(&mut other).await, first, "the other tab");
    loop {
        let told = ada.next_of("conversation").await;
        if told["conversation"]["rating"] == first {
            break;
        }
    }
    let path = format!("/fetch/conversation?conversation_id={conversation}");
    assert_eq!(backend.get(tenant, &path).await["rating"], first, "the tenant's backend");

    // The same again is the same rating, another one takes its place, and a tab that comes later knows it.
    assert_eq!(rate(&mut one, 4, Some("Quick, thank you.")).await["rating"], first);
    let second = rate(&mut one, 2, None).await["rating"].clone();
    assert_eq!((&second["score"], &second["comment"]), (&json!(2), &Value::Null));
    assert_eq!(Relay::welcomed(&backend, tenant, session).await.1["rating"], second);

    // A conversation that is resolved again may be rated again. Until then the tenant sees the last rating.
    ask(&mut one, "One more thing.").await;
    assert_eq!(rated(&mut one).await, Value::Null);
    act(&mut ada, "claim", &conversation).await;
    act(&mut ada, "resolve", &conversation).await;
    assert_eq!(Relay::welcomed(&backend, tenant, session).await.1["rating"], Value::Null);
    assert_eq!(backend.get(tenant, &path).await["rating"], second);
    assert_eq!(rate(&mut one, 5, None).await["rating"]["score"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_that_cannot_be_is_refused_and_nothing_is_kept() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut ada = desk(&backend, tenant, "ada", &[]).await;
    let (mut tab, welcome) = Relay::welcomed(&backend, tenant, session).await;
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    ask(&mut tab, "Hello?").await;
    act(&mut ada, "claim", &conversation).await;
    act(&mut ada, "resolve", &conversation).await;
    let id = Uuid::new_v4().to_string();
    for (frame, field) in [
        (json!({"type": "rate", "client_id": id}), "score"),
        (json!({"type": "rate", "client_id": id, "score": 0}), "score"),
        (json!({"type": "rate", "client_id": id, "score": 6}), "score"),
        (json!({"type": "rate", "client_id": id, "score": 4.5}), "score"),
        (json!({"type": "rate", "client_id": id, "score": "5"}), "score"),
        (json!({"type": "rate", "client_id": id, "score": 5, "comment": "x".repeat(501)}), "comment"),
        (json!({"type": "rate", "client_id": id, "score": 5, "comment": "a\u{0}b"}), "comment"),
        (json!({"type": "rate", "score": 5}), "client_id"),
        (json!({"type": "leave_email", "client_id": id}), "email"),
        (json!({"type": "leave_email", "client_id": id, "email": "Ada <ada@example.com>"}), "email"),
        (json!({"type": "leave_email", "client_id": id, "email": "ada@example.com,ben@example.com"}), "email"),
        (json!({"type": "leave_email", "client_id": id, "email": "ada@example.com\r\nBcc: ben@example.com"}), "email"),
        (json!({"type": "leave_email", "client_id": id, "email": "ada@ben@example.com"}), "email"),
        (json!({"type": "leave_email", "client_id": id, "email": "ada@"}), "email"),
    ] {
        tab.say(&frame).await;
        let refused = tab.next_of("error").await;
        assert_eq!(refused["error_code"], "validation_failed", "{frame}");
        assert!(refused["message"].as_str().expect("words").contains(field), "{frame}: {refused}");
    }
    let path = format!("/fetch/conversation?conversation_id={conversation}");
    let kept = backend.get(tenant, &path).await;
    assert_eq!((&kept["rating"], &kept["answers_email"]), (&Value::Null, &Value::Null));

    // A tenant's backend rates nothing in a visitor's name, and nobody rates another tenant's conversation.
    let other = TenantId::generate();
    let (status, _) = backend.call(other, Method::GET, &path, None).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_visitor_without_a_conversation_has_nothing_to_rate() {
    let backend = Backend::start().await;
    let (tenant, session) = (TenantId::generate(), SessionId::generate());
    let mut tab = Relay::connect(&backend, tenant, session).await;
    tab.say(&json!({
        "type": "hello", "session_id": session, "bot_id": "b", "locale": "en", "metadata": {}, "routing_key": null, "mode": "bot",
        "origin": null, "visitor_user_id": "customer-42",
    }))
    .await;
    assert_eq!(tab.hear().await["conversation_id"], Value::Null);
    for frame in ["rate", "leave_email"] {
        let id = Uuid::new_v4().to_string();
        tab.say(&json!({"type": frame, "client_id": id, "score": 5, "email": "ada@example.com"})).await;
        let refused = tab.hear().await;
        assert_eq!((&refused["error_code"], &refused["client_id"]), (&json!("conversation_not_found"), &json!(id)));
    }
}
