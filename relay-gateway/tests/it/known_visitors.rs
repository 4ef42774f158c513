//! Visitors that the tenant's backend knows: what a minted token opens, and what ends it. PROTOCOL.md, section 5.

use std::time::{Duration, Instant};

use e2e::{
    signed::Tenant,
    visitor::{PAGE, Visitor},
};
use proto::{directory::v1::TenantStatus, visitors::v1::RevokedVisitor};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::time::now_unix_ms;

use crate::fakes::{Fixture, refusal, visitor_token};

/// A minted token as the admin service would sign it.
fn minted(tenant: &Tenant, claims: Value) -> String {
    let mut all = json!({"aud": "chat-widget", "sub": "user-1", "generation": 0, "tenant_generation": 0});
    for (claim, value) in claims.as_object().expect("claims") {
        all[claim] = value.clone();
    }
    visitor_token(tenant, &all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_token_opens_its_visitors_conversation_without_key_and_origin() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    // From any page, or none: it is bound to none.
    for origin in [None, Some("https://app.example.com"), Some(PAGE)] {
        let token = minted(&tenant, json!({}));
        let mut visitor = Visitor::connect_from(fixture.relay, &token, origin).await;
        let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
        let hello = backend.hear().await.expect("hello");
        assert_eq!((&hello["type"], &hello["visitor_user_id"]), (&json!("hello"), &json!("user-1")));
        assert_eq!(
            (&hello["origin"], backend.actor.as_str()),
            (&json!(null), "visitor:vs_77777777777777777777777777777777")
        );
        backend.say(&json!({"type": "welcome", "conversation_id": null})).await;
        visitor.hear("welcome").await;
        let client_id = visitor.ask("hello").await;
        assert_eq!(backend.hear().await.expect("a frame")["client_id"], json!(client_id));
    }
    // It is no session's token: the tenant's backend mints the next.
    let url = format!("http://{}/api/v1/refresh/visitor-token", fixture.relay);
    let request = fixture.client.post(url).bearer_auth(minted(&tenant, json!({})));
    assert_eq!(refusal(request).await, (401, "invalid_visitor_token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_time() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let ends = now_unix_ms() / 1000 + 2;
    let mut visitor = Visitor::connect(fixture.relay, &minted(&tenant, json!({"exp": ends}))).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    let begun = Instant::now();
    assert_eq!(visitor.closed().await, 4401);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let mut late = Visitor::connect(fixture.relay, &minted(&tenant, json!({"exp": ends}))).await;
    assert_eq!(late.closed().await, 4401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_it_closes_it_before_it_is_acknowledged_and_leaves_others_alone() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let talk = async |fixture: &mut Fixture, claims: Value| {
        let visitor = Visitor::connect(fixture.relay, &minted(&tenant, claims)).await;
        let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
        backend.hear().await.expect("hello");
        (visitor, backend)
    };
    let (mut revoked, mut gone) = talk(&mut fixture, json!({})).await;
    let (mut other, mut kept) = talk(&mut fixture, json!({"sub": "user-2"})).await;
    // Any change of the tenant has its sockets looked at, and ends none of these.
    fixture.admin.push_change(Some(&tenant)).await;
    let asked = |fixture: &Fixture| fixture.admin.calls().iter().filter(|call| *call == "ListRevokedVisitors").count();
    assert_eq!(asked(&fixture), 0, "no visitor was revoked");

    let visitor_user_id = "user-1".to_owned();
    fixture.admin.revoked.lock().expect("not poisoned").push(RevokedVisitor { visitor_user_id, generation: 1 });
    fixture.admin.set(&tenant, |state| state.visitor_revocations = 1);
    fixture.admin.push_change(Some(&tenant)).await;
    // It is acknowledged: nothing the visitor says reaches the backend any more.
    revoked.try_send(&json!({"type": "message", "client_id": Uuid::new_v4(), "content": "late"})).await;
    assert_eq!(gone.hear().await, None);
    assert_eq!(revoked.closed().await, 4401);
    assert_eq!(asked(&fixture), 1, "one question for all");
    other.ask("still here").await;
    assert_eq!(kept.hear().await.expect("a frame")["content"], "still here");
    // The old token opens nothing, and a newer one does.
    let mut again = Visitor::connect(fixture.relay, &minted(&tenant, json!({}))).await;
    assert_eq!(again.closed().await, 4401);
    let (_newer, _backend) = talk(&mut fixture, json!({"generation": 1})).await;

    // A leaked secret leaves no credentials behind.
    fixture.admin.set(&tenant, |state| state.token_generation = 1);
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(kept.hear().await, None);
    assert_eq!(other.closed().await, 4401);
    let (mut newest, _backend) = talk(&mut fixture, json!({"generation": 1, "tenant_generation": 1})).await;
    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(newest.closed().await, 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_each_frame_is_judged() {
    let mut fixture = Fixture::start().await;
    let tenant = fixture.tenant.clone();
    let mut visitor = Visitor::connect(fixture.relay, &minted(&tenant, json!({}))).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    visitor.ask("first").await;
    backend.hear().await.expect("a frame");
    let visitor_user_id = "user-1".to_owned();
    fixture.admin.revoked.lock().expect("not poisoned").push(RevokedVisitor { visitor_user_id, generation: 1 });
    fixture.admin.set(&tenant, |state| state.visitor_revocations = 1);
    visitor.ask("second").await;
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(backend.hear().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_not_everywhere_in_time_says_so() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_CALL_DEADLINE_MS", "900")]).await;
    let revoke = |body: &str| fixture.post("revoke/visitor", body);
    let answer = revoke(r#"{"visitor_user_id":"user-1"}"#).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.expect("an envelope");
    assert_eq!(body["data"]["visitor_user_id"], "user-1");
    assert_eq!(refusal(revoke("{}")).await, (422, "validation_failed".to_owned()));
    fixture.admin.is_slow.store(true, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    let answer = revoke(r#"{"visitor_user_id": "user-1"}"#).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    let body: Value = answer.json().await.expect("an envelope");
    assert_eq!(body["error_code"], "change_propagating");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_as_a_subprotocol() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let mut fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    let mut request = format!("ws://{}/api/v1/ws/widget", fixture.relay).into_client_request().expect("a request");
    let offered = format!("chat-relay.v1, bearer.{token}");
    request.headers_mut().insert("sec-websocket-protocol", offered.parse().expect("a header"));
    request.headers_mut().insert("origin", PAGE.parse().expect("a header"));
    let stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("connected");
    let (_socket, answer) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat-relay.v1");
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_where_the_tenant_takes_them_and_only_as_documented() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    fixture.backend.answers(|_| crate::fakes::ok("{}"));
    let good = json!({"type": "image", "mime": "image/png", "size": 1, "url": "https://cdn.example.com/a.png"});
    let message = |attachments: Value| json!({"content": "hi", "attachments": attachments}).to_string();
    let send = async |fixture: &Fixture, body: &str| {
        let answer = fixture.post("add/message?conversation_id=1", body).send().await.expect("an answer");
        answer.status().as_u16()
    };
    let mut visitor = Visitor::connect(fixture.relay, &visitor_token(&tenant, &json!({}))).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    let say = |attachments: Value| json!({"type": "message", "client_id": Uuid::new_v4(), "content": "hi", "attachments": attachments});
    assert_eq!(send(&fixture, &message(json!([good]))).await, 200);
    visitor.say(&say(json!([good]))).await;
    assert_eq!(backend.hear().await.expect("a frame")["attachments"], json!([good]));
    for bad in
        [json!([{}]), json!([{"type": "file", "mime": "a/b", "size": -1, "url": "https://x.example/"}]), json!("x")]
    {
        assert_eq!(send(&fixture, &message(bad.clone())).await, 422, "{bad}");
        visitor.say(&say(bad.clone())).await;
        assert_eq!(visitor.hear("error").await["error_code"], "validation_failed", "{bad}");
    }
    let script = json!([{"type": "file", "mime": "a/b", "size": 1, "url": "javascript:alert(1)"}]);
    assert_eq!(send(&fixture, &message(script.clone())).await, 422);
    // An escape spells the same name.
    let spelt = message(script).replace("attachments", "\\u0061ttachments");
    assert_eq!(send(&fixture, &spelt).await, 422);
    // What is not JSON in UTF-8 here may be to a backend.
    let utf16 = |order: fn(u16) -> [u8; 2]| spelt.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let with_mark = [b"\xef\xbb\xbf", spelt.as_bytes()].concat();
    for hidden in [with_mark, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), spelt[..spelt.len() - 1].into()] {
        let headers = tenant.headers(wire::time::now_unix_ms(), &hidden);
        let request = fixture.client.post(fixture.url("add/message?conversation_id=1")).body(hidden);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        assert_eq!(refusal(request).await, (400, "malformed_json".to_owned()));
    }

    fixture.admin.set(&tenant, |state| state.file_upload_enabled = Some(false));
    fixture.admin.push_change(Some(&tenant)).await;
    let refused = fixture.post("add/message?conversation_id=1", &message(json!([good])));
    assert_eq!(refusal(refused).await, (403, "feature_disabled".to_owned()));
    assert_eq!(send(&fixture, &message(json!([]))).await, 200);
    visitor.say(&say(json!([good]))).await;
    assert_eq!(visitor.hear("error").await["error_code"], "feature_disabled");
    visitor.say(&say(json!([]))).await;
    assert_eq!(backend.hear().await.expect("a frame")["attachments"], json!([]));
}
