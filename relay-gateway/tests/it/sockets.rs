//! Visitors' sockets, between an admin service and a chat backend that a test speaks for.

use e2e::visitor::{PAGE, Visitor};
use proto::directory::v1::TenantStatus;
use serde_json::{Value, json};
use service::ApiError;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;
use wire::ErrorCode;

use crate::fakes::{Fixture, another, connect, talk, visitor_token};

const SESSION: &str = "vs_0192f3a4b5c67d8e8f90a1b2c3d4e5f6";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_visitor_says_reaches_the_backend_and_its_answers_come_back() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let mut visitor = connect(&fixture, &tenant, &json!({"sub": SESSION})).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    assert_eq!(backend.actor, format!("visitor:{SESSION}"));
    assert_eq!(
        backend.hear().await.expect("hello"),
        json!({
            "type": "hello", "session_id": SESSION, "bot_id": "b1", "locale": "fr", "mode": "bot", "routing_key": null,
            "metadata": {"page_url": "https://shop.demo.com/cart"}, "origin": PAGE,
        })
    );
    backend.say(&json!({"type": "welcome", "conversation_id": "c1"})).await;
    visitor.hear("welcome").await;
    let client_id = visitor.ask("hello ☕").await;
    assert_eq!(
        backend.hear().await.expect("a frame"),
        json!({"type": "message", "client_id": client_id, "content": "hello ☕", "attachments": []})
    );
    visitor.say(&json!({"type": "typing"})).await;
    visitor.say(&json!({"type": "resume", "after": "m1"})).await;
    assert_eq!(backend.hear().await.expect("a frame")["type"], "typing");
    assert_eq!(backend.hear().await.expect("a frame"), json!({"type": "resume", "after": "m1"}));
    for n in 0..50 {
        backend.say(&json!({"type": "message", "message": {"id": n}})).await;
    }
    for n in 0..50 {
        assert_eq!(visitor.hear("message").await["message"]["id"], n);
    }
    visitor.send(Message::Close(None)).await;
    assert_eq!(backend.hear().await, None, "the backend learns that the visitor has left");
    assert!(fixture.shown_metrics().contains("visitor_socket_frames_total{direction=\"to_visitor\"} 51"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_it_is_bound_to_and_nothing_else() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let suspended = another(&fixture);
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    let good = visitor_token(&tenant, &json!({}));
    let mut altered = good.clone().into_bytes();
    altered[60] ^= 1;
    for (what, token, origin, code) in [
        ("no token", String::new(), Some(PAGE), 4401),
        ("noise", "abc".to_owned(), Some(PAGE), 4401),
        ("altered", String::from_utf8(altered).expect("ASCII"), Some(PAGE), 4401),
        ("ended", visitor_token(&tenant, &json!({"exp": 1_000_000_000})), Some(PAGE), 4401),
        ("an operator's", visitor_token(&tenant, &json!({"aud": "chat-backend"})), Some(PAGE), 4401),
        ("another page", good.clone(), Some("https://evil.example"), 4403),
        ("a sandboxed frame", good.clone(), Some("null"), 4403),
        (
            "a page that is not allowed any more",
            visitor_token(&tenant, &json!({"origin": "https://old.example"})),
            Some("https://old.example"),
            4403,
        ),
        ("a key that was rotated", visitor_token(&tenant, &json!({"widget_key": "pk_old"})), Some(PAGE), 4403),
        ("a suspended tenant", visitor_token(&suspended, &json!({})), Some(PAGE), 4403),
        ("a tenant there is not", visitor_token(&crate::fakes::tenant(), &json!({})), Some(PAGE), 4403),
    ] {
        let mut visitor = Visitor::connect_from(fixture.relay, &token, origin).await;
        assert_eq!(visitor.closed().await, code, "{what}");
    }
    assert!(!fixture.admin.calls().contains(&"GetSession".to_owned()), "none of them got so far");
    let over = ApiError::new(ErrorCode::InvalidVisitorToken, "over");
    fixture.admin.break_method("GetSession", over);
    assert_eq!(connect(&fixture, &tenant, &json!({})).await.closed().await, 4401, "the session is over");

    let plain = fixture.client.get(format!("http://{}/api/v1/ws/widget?token={good}", fixture.relay));
    let answer = plain.send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["upgrade"]), (426, &"websocket".parse().expect("text")));
    let answer: Value = answer.json().await.expect("an envelope");
    assert_eq!(answer["error_code"], "upgrade_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_wrong_is_refused_and_the_socket_goes_on() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &json!({})).await;
    for (hostile, code) in [
        ("", "malformed_json"),
        ("[1]", "malformed_json"),
        ("{\"type\":\"hello\",\"session_id\":\"vs_other\"}", "validation_failed"),
        ("{\"type\":\"message\",\"content\":\"no id\"}", "validation_failed"),
    ] {
        visitor.send(Message::text(hostile)).await;
        assert_eq!(visitor.hear("error").await["error_code"], code, "{hostile}");
    }
    let client_id = Uuid::new_v4().to_string();
    visitor.say(&json!({"type": "message", "client_id": client_id, "content": "x".repeat(4001)})).await;
    let refused = visitor.hear("error").await;
    assert_eq!((&refused["client_id"], &refused["error_code"]), (&json!(client_id), &json!("validation_failed")));
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("4000")), "{refused}");
    visitor.ask("fine").await;
    assert_eq!(backend.hear().await.expect("a frame")["content"], "fine", "nothing of it reached the backend");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_tenants_whatever_its_id() {
    let mut fixture = Fixture::leased().await;
    let (one, other) = (fixture.tenant.clone(), another(&fixture));
    for tenant in [one, other] {
        // The same id under another tenant is another session, and the backend is told whose it is.
        let (_visitor, backend) = talk(&mut fixture, &tenant, &json!({"sub": SESSION})).await;
        assert_eq!((&backend.tenant_id, &backend.actor), (&tenant.id, &format!("visitor:{SESSION}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn welcome_is_the_first_that_is_heard() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let mut visitor = connect(&fixture, &tenant, &json!({})).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    fixture.admin.widget_access(&tenant, |access| {
        let look = json!({"bot_id": "b1", "customization": {"theme_color": "#00AA00"}});
        access.widgets.values_mut().for_each(|widget| widget.config_json = look.to_string());
    });
    fixture.admin.push_change(Some(&tenant)).await;
    backend.say(&json!({"type": "welcome"})).await;
    visitor.hear("welcome").await;
    assert_eq!(visitor.hear("config").await["widget_config"]["customization"]["theme_color"], "#00AA00");
}
