//! What callers send: refused by name, and answered in pages.

use http::Method;
use serde_json::json;
use wire::TenantId;

use crate::support::Backend;

#[tokio::test]
async fn bad_input_is_named() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let add = format!("/add/message?conversation_id={conversation}");
    for (path, body, field) in [
        ("/create/conversation", json!({}), "visitor_user_id"),
        ("/create/conversation", json!({"visitor_user_id": "u", "channel": "smoke"}), "channel"),
        ("/create/conversation", json!({"visitor_user_id": "u", "metadata": {"x": "y".repeat(20_000)}}), "metadata"),
        (add.as_str(), json!({"content": " "}), "content"),
        (add.as_str(), json!({"content": "x".repeat(8_001)}), "content"),
        (add.as_str(), json!({"content": "x", "role": "king"}), "role"),
        (add.as_str(), json!({"content": "x", "attachments": ["x"]}), "attachments"),
        ("/add/message", json!({"content": "x"}), "conversation_id"),
        ("/ingest/knowledge", json!({"title": "t"}), "body"),
        ("/ingest/knowledge", json!({"title": "t", "body": "b", "url": "javascript:alert(1)"}), "url"),
        ("/ingest/knowledge", json!({"title": "t", "body": "b", "url": "/help"}), "url"),
        ("/create/contact-ticket", json!({"customer_email": "a@b.c"}), "customer_name"),
    ] {
        let (status, answer) = backend.call(tenant, Method::POST, path, Some(body)).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{path}: {answer}");
    }
    for (path, field) in [
        ("/fetch/conversation", "conversation_id"),
        ("/fetch/tickets?status=lost", "status"),
        ("/fetch/messages?limit=0&conversation_id=x", "limit"),
        ("/fetch/ticket", "ticket_id"),
    ] {
        let (status, answer) = backend.call(tenant, Method::GET, path, None).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{path}");
    }
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    let backend = Backend::start().await;
    let tenant = TenantId::generate();
    let conversation = backend.conversation(tenant).await;
    let add = format!("/add/message?conversation_id={conversation}");
    for index in 0..5 {
        backend.post(tenant, &add, json!({"role": "agent", "content": format!("m{index}")})).await;
    }
    let page = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}&limit=2")).await;
    let last = page["items"][1]["id"].as_str().expect("an id");
    let rest = backend.get(tenant, &format!("/fetch/messages?conversation_id={conversation}&after={last}")).await;
    let texts: Vec<_> =
        rest["items"].as_array().expect("a list").iter().map(|message| message["content"].clone()).collect();
    assert_eq!(texts, ["m2", "m3", "m4"]);
}
