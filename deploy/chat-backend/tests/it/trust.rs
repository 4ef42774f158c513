//! What the chat backend believes, and which tenant it shows what.

use http::Method;
use serde_json::json;
use wire::{TenantId, signature::WINDOW_MS, time::now_unix_ms};

use crate::support::Backend;

#[tokio::test]
async fn nothing_is_believed_that_the_relay_did_not_sign() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate().to_string();
    let (post, path, body) = (Method::POST, "/create/conversation", br#"{"visitor_user_id":"u"}"#);
    let good = || Backend::headers(&tenant, &post, path, body, now_unix_ms());
    assert_eq!(backend.send(post.clone(), path, body, good()).await.0, 201);

    let mut attempts: Vec<Vec<(&'static str, String)>> = vec![
        Vec::new(),
        Backend::headers(&tenant, &Method::PUT, path, body, now_unix_ms()),
        Backend::headers(&tenant, &post, "/create/other", body, now_unix_ms()),
        Backend::headers(&tenant, &post, path, b"tampered", now_unix_ms()),
        Backend::headers(&tenant, &post, path, body, now_unix_ms() - WINDOW_MS - 5_000),
        Backend::headers(&tenant, &post, path, body, now_unix_ms() + WINDOW_MS + 5_000),
    ];
    for index in 0..4 {
        let mut without = good();
        without.remove(index);
        attempts.push(without);
        let mut twice = good();
        twice.push(good()[index].clone());
        attempts.push(twice);
        let mut other = good();
        other[index].1 = match index {
            0 => TenantId::generate().to_string(),
            1 => (now_unix_ms() + 1).to_string(),
            2 => "operator:forged".to_owned(),
            _ => "0".repeat(64),
        };
        attempts.push(other);
    }
    for headers in attempts {
        let (status, answer) = backend.send(post.clone(), path, body, headers.clone()).await;
        assert_eq!((status, &answer["error_code"]), (401, &json!("invalid_relay_signature")), "{headers:?}");
    }
    let answer = backend.client.post(format!("{}{path}", backend.base)).send().await.expect("an answer");
    assert_eq!(answer.headers()["x-relay-refused"], "signature", "the gateway makes a 502 of it");
    let listed = backend.get(tenant.parse().expect("an id"), "/fetch/conversations").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn each_tenant_sees_only_its_own() {
    let backend = Backend::start().await;
    let (one, other) = (TenantId::generate(), TenantId::generate());
    let conversation = backend.conversation(one).await;
    backend
        .post(
            one,
            "/ingest/knowledge",
            json!({"title": "Refunds", "body": "Refunds take five days.", "language": "en"}),
        )
        .await;
    backend.say(one, &conversation, "something unheard of").await;
    let ticket = backend.get(one, "/fetch/tickets").await["items"][0]["id"].as_str().expect("an id").to_owned();

    for path in [
        format!("/fetch/conversation?conversation_id={conversation}"),
        format!("/fetch/messages?conversation_id={conversation}"),
        format!("/fetch/ticket?ticket_id={ticket}"),
    ] {
        assert_eq!(backend.call(one, Method::GET, &path, None).await.0, 200, "{path}");
        assert_eq!(backend.call(other, Method::GET, &path, None).await.0, 404, "{path}");
    }
    let (status, _) = backend
        .call(
            other,
            Method::POST,
            &format!("/add/message?conversation_id={conversation}"),
            Some(json!({"content": "hi"})),
        )
        .await;
    assert_eq!(status, 404);
    for path in ["/fetch/conversations", "/fetch/tickets", "/fetch/conversations?visitor_user_id=u"] {
        assert_eq!(backend.get(other, path).await["items"], json!([]), "{path}");
    }
    let theirs = backend.conversation(other).await;
    let messages = backend.say(other, &theirs, "How long do refunds take?").await;
    assert_eq!(messages[1]["role"], "system", "another tenant's knowledge answers nobody else: {messages:?}");
}
