//! The keys of tokens under the lease: a retired key's tokens are refused, and its sockets closed, before the change is acknowledged.

use std::time::Duration;

use e2e::visitor::{PAGE, Visitor, from_page};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use service::ApiError;
use wire::ErrorCode;

use crate::fakes::{BackendSocket, Fixture, refusal, visitor_token};

fn asked(fixture: &Fixture) -> usize {
    fixture.admin.calls().iter().filter(|call| *call == "GetSigningKeys").count()
}

fn retire(fixture: &Fixture) {
    *fixture.admin.key_set.lock().expect("not poisoned") = Some(r#"{"keys":[]}"#);
}

fn refresh(fixture: &Fixture, token: &str) -> RequestBuilder {
    let call = fixture.client.post(format!("http://{}/api/v1/refresh/visitor-token", fixture.relay));
    from_page(call.bearer_auth(token), PAGE)
}

async fn published(fixture: &Fixture) -> (u16, Value) {
    let url = format!("http://{}/.well-known/jwks.json", fixture.relay);
    let answer = fixture.client.get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn talk(fixture: &mut Fixture, token: &str) -> (Visitor, BackendSocket) {
    let visitor = Visitor::connect(fixture.relay, token).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    (visitor, backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_retired_key_signed_opens_nothing_once_the_change_is_acknowledged() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let token = visitor_token(&tenant, &json!({}));
    let (mut visitor, mut backend) = talk(&mut fixture, &token).await;
    // A change of keys that leaves this one, such as a rotation: the keys are asked for once more, and the socket goes on.
    fixture.admin.push_change_of_keys().await;
    visitor.ask("still here").await;
    assert_eq!(backend.hear().await.expect("a frame")["content"], "still here");
    assert_eq!(asked(&fixture), 2);

    retire(&fixture);
    // Nobody has heard of it: under the lease the keys of before are right.
    assert_eq!(published(&fixture).await.1["keys"].as_array().map(Vec::len), Some(1));
    fixture.admin.push_change_of_keys().await;
    let late = json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "late"});
    visitor.try_send(&late).await;
    assert_eq!(backend.hear().await, None, "nothing reaches the backend any more");
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(refusal(refresh(&fixture, &token)).await, (401, "invalid_visitor_token".to_owned()));
    assert_eq!(Visitor::connect(fixture.relay, &token).await.closed().await, 4401);
    assert_eq!(published(&fixture).await, (200, json!({"keys": []})));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_read_before_a_change_are_asked_for_again() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let token = visitor_token(&tenant, &json!({}));
    let held = fixture.admin.hold_signing_keys().await;
    let call = tokio::spawn(refusal(refresh(&fixture, &token)));
    while asked(&fixture) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The answer under way still has the key in it.
    retire(&fixture);
    fixture.admin.push_change_of_keys().await;
    drop(held);
    assert_eq!(call.await.expect("no panic"), (401, "invalid_visitor_token".to_owned()));
    assert_eq!(published(&fixture).await, (200, json!({"keys": []})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_opens_while_its_key_is_retired_is_closed() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    // The keys are kept, and the tenant is not: the socket is registered, and waits for its tenant.
    published(&fixture).await;
    let held = fixture.admin.hold_lookups().await;
    let mut visitor = Visitor::connect(fixture.relay, &visitor_token(&tenant, &json!({}))).await;
    while fixture.admin.lookups() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    retire(&fixture);
    fixture.admin.push_change_of_keys().await;
    drop(held);
    assert_eq!(visitor.closed().await, 4401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_closed_where_the_keys_cannot_be_asked_for() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &visitor_token(&tenant, &json!({}))).await;
    let held = fixture.admin.hold_signing_keys().await;
    // It is acknowledged after a second all the same, and nothing passes by then.
    fixture.admin.push_change_of_keys().await;
    visitor.try_send(&json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "late"})).await;
    assert_eq!(backend.hear().await, None);
    assert_eq!(visitor.closed().await, 1013);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_failure_closes_no_socket() {
    let mut fixture = Fixture::leased_for(600).await;
    let tenant = fixture.tenant.clone();
    let (mut visitor, mut backend) = talk(&mut fixture, &visitor_token(&tenant, &json!({}))).await;
    fixture.admin.break_method("GetSigningKeys", ApiError::new(ErrorCode::StoreUnavailable, "gone"));
    fixture.admin.lease(0);
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    while published(&fixture).await.0 != 503 {
        assert!(std::time::Instant::now() < deadline, "the lease goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The failure is believed for a second, and a change of keys comes before that is over.
    fixture.admin.mend();
    fixture.admin.push_change_of_keys().await;
    fixture.admin.lease(600_000);
    visitor.ask("still here").await;
    assert_eq!(backend.hear().await.expect("a frame")["content"], "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_the_keys_are_asked_for_and_not_guessed() {
    let mut fixture = Fixture::start().await;
    let tenant = fixture.tenant.clone();
    let token = visitor_token(&tenant, &json!({}));
    let (mut visitor, mut backend) = talk(&mut fixture, &token).await;
    let before = asked(&fixture);
    visitor.ask("first").await;
    backend.hear().await.expect("a frame");
    assert_eq!(asked(&fixture), before + 1, "each frame is judged by the keys of its moment");

    fixture.admin.break_method("GetSigningKeys", ApiError::new(ErrorCode::StoreUnavailable, "gone"));
    assert_eq!(published(&fixture).await.0, 503, "keys that may have been retired are not published");
    assert_eq!(refusal(refresh(&fixture, &token)).await.0, 503);
    fixture.admin.mend();
    // A failure is believed for a second.
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    while published(&fixture).await.0 != 200 {
        assert!(std::time::Instant::now() < deadline, "it does not ask again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    retire(&fixture);
    visitor.ask("second").await;
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(backend.hear().await, None);
    assert_eq!(refusal(refresh(&fixture, &token)).await, (401, "invalid_visitor_token".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_invented_keys_do_not_make_the_admin_service_work() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "100000")]).await;
    let tenant = fixture.tenant.clone();
    let invented = visitor_token(&tenant, &json!({})).replacen(
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImsyIn0",
        1,
    );
    assert_eq!(refusal(refresh(&fixture, &invented)).await.0, 401);
    assert_eq!(asked(&fixture), 1);
    let calls = (0..50).map(|_| refusal(refresh(&fixture, &invented)));
    for answered in futures_util::future::join_all(calls).await {
        assert_eq!(answered, (401, "invalid_visitor_token".to_owned()));
    }
    assert_eq!(asked(&fixture), 1, "the keys were fetched a moment ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_is_none_lets_nobody_in() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let token = visitor_token(&tenant, &json!({}));
    for nonsense in ["", "[]", "{}", r#"{"keys":1}"#] {
        *fixture.admin.key_set.lock().expect("not poisoned") = Some(nonsense);
        fixture.admin.push_change_of_keys().await;
        assert_eq!(published(&fixture).await.0, 500, "{nonsense}");
        assert_eq!(refusal(refresh(&fixture, &token)).await.0, 500, "{nonsense}: it is not the visitor's fault");
    }
    *fixture.admin.key_set.lock().expect("not poisoned") = None;
    fixture.admin.push_change_of_keys().await;
    assert_eq!(published(&fixture).await.0, 200);
}
