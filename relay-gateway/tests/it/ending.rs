//! A visitor's session is ended: who may, and what is closed before it is acknowledged. PROTOCOL.md, section 5.

use std::time::{Duration, Instant};

use e2e::{
    signed::Tenant,
    visitor::{PAGE, Visitor, from_page},
};
use http::{Method, header};
use proto::{
    directory::v1::TenantStatus,
    visitors::v1::{MintedToken, SessionToken, end_session_request::Token},
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::SessionId;

use crate::fakes::{BackendSocket, Fixture, refusal, visitor_token};

fn end(fixture: &Fixture, token: &str) -> RequestBuilder {
    fixture.client.post(format!("http://{}/api/v1/end/visitor-session", fixture.relay)).bearer_auth(token)
}

/// A socket of a session, and the backend's end of it.
async fn talk(fixture: &mut Fixture, tenant: &Tenant, session: &str) -> (Visitor, BackendSocket) {
    let visitor = Visitor::connect(fixture.relay, &visitor_token(tenant, &json!({"sub": session}))).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    backend.hear().await.expect("hello");
    (visitor, backend)
}

fn asked(fixture: &Fixture, method: &str) -> usize {
    fixture.admin.calls().iter().filter(|call| *call == method).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sockets_are_closed_before_it_is_acknowledged_and_others_go_on() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let [session, other] = [SessionId::generate().to_string(), SessionId::generate().to_string()];
    let (mut first_tab, mut first_gone) = talk(&mut fixture, &tenant, &session).await;
    let (mut second_tab, mut second_gone) = talk(&mut fixture, &tenant, &session).await;
    let (mut other, mut kept) = talk(&mut fixture, &tenant, &other).await;
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(asked(&fixture, "ListEndedSessions"), 0, "no session was ended");

    fixture.admin.ended.lock().expect("not poisoned").push(session);
    fixture.admin.set(&tenant, |state| state.sessions_ended = 7);
    fixture.admin.push_change(Some(&tenant)).await;
    // It is acknowledged: nothing the visitor says reaches the backend any more.
    let late = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "late"});
    first_tab.try_send(&late).await;
    assert_eq!((first_gone.hear().await, second_gone.hear().await), (None, None));
    assert_eq!([first_tab.closed().await, second_tab.closed().await], [4401, 4401]);
    assert_eq!(asked(&fixture, "ListEndedSessions"), 1, "one question for all");
    other.ask("still here").await;
    assert_eq!(kept.hear().await.expect("a frame")["content"], "still here");
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(asked(&fixture, "ListEndedSessions"), 1, "and none until another session is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lease_each_frame_is_judged() {
    let mut fixture = Fixture::start().await;
    let tenant = fixture.tenant.clone();
    let session = SessionId::generate().to_string();
    let (mut visitor, mut backend) = talk(&mut fixture, &tenant, &session).await;
    visitor.ask("first").await;
    backend.hear().await.expect("a frame");
    fixture.admin.ended.lock().expect("not poisoned").push(session);
    fixture.admin.set(&tenant, |state| state.sessions_ended = 7);
    visitor.ask("second").await;
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(backend.hear().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_token_may_end_its_session() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    // What a page that is left sends with `keepalive`: the token, and nothing besides that a preflight would refuse.
    let url = format!("http://{}/api/v1/end/visitor-session", fixture.relay);
    let preflight = from_page(fixture.client.request(Method::OPTIONS, url), PAGE)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization");
    let allowed = preflight.send().await.expect("an answer");
    assert_eq!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    assert!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().expect("text").contains("authorization"));

    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    let session = SessionId::generate().to_string();
    let token = |claims: Value| visitor_token(&tenant, &claims);
    let good = token(json!({"sub": session, "generation": 3}));
    let ended = token(json!({"sub": session, "generation": 3, "exp": 1_000_000_000, "widget_key": "pk_rotated"}));
    for (token, has_ended) in [(&good, false), (&good, false), (&ended, true)] {
        let answer = from_page(end(&fixture, token), PAGE).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let answer: Value = answer.json().await.expect("an envelope");
        assert_eq!(answer["data"], json!({"session_id": "vs_1"}));
        let said = fixture.admin.endings.lock().expect("not poisoned").pop().expect("it was asked");
        let token = Some(Token::Session(SessionToken { session_id: session.clone(), generation: 3, has_ended }));
        assert!(said.token == token && said.wait_ms > 0, "{said:?}");
    }
    let minted = json!({"aud": "chat-widget", "sub": "user-1", "generation": 1, "tenant_generation": 2});
    let answer =
        from_page(end(&fixture, &token(minted.clone())), "https://app.example").send().await.expect("an answer");
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
    let said = fixture.admin.endings.lock().expect("not poisoned").pop().expect("it was asked");
    let visitor_user_id = "user-1".to_owned();
    let expected = Token::Minted(MintedToken { visitor_user_id, generation: 1, tenant_generation: 2 });
    assert_eq!(said.token, Some(expected));

    let mut over = minted;
    over["exp"] = json!(1_000_000_000);
    let mut altered = good.clone().into_bytes();
    altered[60] ^= 1;
    for (what, token, origin, expected) in [
        ("nothing", String::new(), PAGE, (401, "invalid_visitor_token")),
        ("noise", "a.b.c".to_owned(), PAGE, (401, "invalid_visitor_token")),
        ("altered", String::from_utf8(altered).expect("ASCII"), PAGE, (401, "invalid_visitor_token")),
        ("an operator's", token(json!({"aud": "chat-backend"})), PAGE, (401, "invalid_visitor_token")),
        ("a minted one whose time is over", token(over), PAGE, (401, "invalid_visitor_token")),
        ("another page", good.clone(), "https://evil.example", (403, "origin_not_allowed")),
        ("a sandboxed frame", good.clone(), "null", (403, "origin_not_allowed")),
    ] {
        let request = from_page(end(&fixture, &token), origin);
        assert_eq!(refusal(request).await, (expected.0, expected.1.to_owned()), "{what}");
    }
    assert!(fixture.admin.endings.lock().expect("not poisoned").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_not_everywhere_in_time_says_so() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_CALL_DEADLINE_MS", "900")]).await;
    fixture.admin.is_slow.store(true, std::sync::atomic::Ordering::SeqCst);
    let begun = Instant::now();
    let request = from_page(end(&fixture, &visitor_token(&fixture.tenant, &json!({}))), PAGE);
    let answer = request.send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key(header::RETRY_AFTER)), (503, true));
    assert!(answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let body: Value = answer.json().await.expect("an envelope");
    assert_eq!(body["error_code"], "change_propagating");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
