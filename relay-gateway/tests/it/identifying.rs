//! A page says who its visitor is: what is asked of the admin service, what is refused, and what closes the visitor's sockets.

use e2e::visitor::{PAGE, Visitor, from_page};
use http::header;
use proto::visitors::v1::{Identity, MintedToken, SessionToken};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use wire::SessionId;

use crate::fakes::{Fixture, refusal, visitor_token};

fn identify(fixture: &Fixture, token: &str, body: &Value) -> RequestBuilder {
    let url = format!("http://{}/api/v1/identify/visitor", fixture.relay);
    from_page(fixture.client.post(url).bearer_auth(token).json(body), PAGE)
}

fn minted(fixture: &Fixture, more: Value) -> String {
    let mut claims = json!({"aud": "chat-widget", "sub": "ada@example.com", "generation": 3, "tenant_generation": 2});
    for (claim, value) in more.as_object().expect("claims") {
        claims[claim] = value.clone();
    }
    visitor_token(&fixture.tenant, &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_service_is_told_of_both_tokens_and_what_the_page_says() {
    let fixture = Fixture::leased().await;
    let session = SessionId::generate().to_string();
    for (exp, has_ended) in [(None, false), (Some(1_000_000_000), true)] {
        let mut claims = json!({"sub": session, "generation": 4});
        if let Some(exp) = exp {
            claims["exp"] = json!(exp);
        }
        let token = visitor_token(&fixture.tenant, &claims);
        let body = json!({"identity_token": minted(&fixture, json!({})), "name": "Ada", "email": "ada@example.com"});
        let answer = identify(&fixture, &token, &body).send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
        let answer: Value = answer.json().await.expect("an envelope");
        assert_eq!(
            (&answer["data"]["session_id"], &answer["data"]["visitor_token"]),
            (&json!("vs_2"), &json!("the next token"))
        );
        let asked = fixture.admin.identified.lock().expect("not poisoned").pop().expect("it was asked");
        let expected = SessionToken { session_id: session.clone(), generation: 4, has_ended };
        assert_eq!(asked.session, Some(expected));
        let visitor_user_id = "ada@example.com".to_owned();
        assert_eq!(asked.identity, Some(MintedToken { visitor_user_id, generation: 3, tenant_generation: 2 }));
        assert_eq!((asked.name.as_deref(), asked.email.as_deref()), (Some("Ada"), Some("ada@example.com")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_trusted_is_refused_and_nothing_is_asked() {
    let fixture = Fixture::leased().await;
    let good = visitor_token(&fixture.tenant, &json!({}));
    let identity = minted(&fixture, json!({}));
    let said = |identity: &str| json!({"identity_token": identity});
    let mut altered = identity.clone().into_bytes();
    altered[70] ^= 1;
    let altered = String::from_utf8(altered).expect("ASCII");
    for (what, token, body, expected) in [
        ("no session", String::new(), said(&identity), (401, "invalid_visitor_token")),
        ("a minted token is no session", identity.clone(), said(&identity), (401, "invalid_visitor_token")),
        ("a session says nobody's name", good.clone(), said(&good), (401, "invalid_identity_token")),
        ("altered", good.clone(), said(&altered), (401, "invalid_identity_token")),
        ("noise", good.clone(), said("a.b.c"), (401, "invalid_identity_token")),
        ("over", good.clone(), said(&minted(&fixture, json!({"exp": 1_000_000_000}))), (401, "invalid_identity_token")),
        (
            "an operator's",
            good.clone(),
            said(&minted(&fixture, json!({"aud": "chat-backend"}))),
            (401, "invalid_identity_token"),
        ),
        (
            "another tenant's",
            good.clone(),
            said(&minted(&fixture, json!({"tenant_id": uuid::Uuid::now_v7()}))),
            (401, "invalid_identity_token"),
        ),
        ("no identity", good.clone(), json!({}), (422, "validation_failed")),
        (
            "a long name",
            good.clone(),
            json!({"identity_token": identity, "name": "x".repeat(201)}),
            (422, "validation_failed"),
        ),
        ("a number", good.clone(), json!({"identity_token": 7}), (422, "validation_failed")),
        ("no object", good.clone(), json!([]), (422, "validation_failed")),
    ] {
        let (status, code) = refusal(identify(&fixture, &token, &body)).await;
        assert_eq!((status, code.as_str()), expected, "{what}");
    }
    for (body, expected) in [
        ("{\"identity_token\":".to_owned(), (400, "malformed_json")),
        (json!({"identity_token": "x".repeat(16 * 1024 + 1)}).to_string(), (422, "validation_failed")),
        (json!({"identity_token": "x".repeat(70_000)}).to_string(), (413, "body_too_large")),
    ] {
        let (status, code) = refusal(identify(&fixture, &good, &json!({})).body(body)).await;
        assert_eq!((status, code.as_str()), expected);
    }
    let elsewhere = identify(&fixture, &good, &said(&identity)).header("origin", "https://evil.example");
    assert_eq!(refusal(elsewhere).await.0, 403);
    assert!(fixture.admin.identified.lock().expect("not poisoned").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_is_not_everywhere_in_time_says_so() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_CALL_DEADLINE_MS", "900")]).await;
    fixture.admin.is_slow.store(true, std::sync::atomic::Ordering::SeqCst);
    let token = visitor_token(&fixture.tenant, &json!({}));
    let body = json!({"identity_token": minted(&fixture, json!({}))});
    let refused = refusal(identify(&fixture, &token, &body)).await;
    assert_eq!(refused, (503, "change_propagating".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identified_visitors_socket_says_who_it_is_and_ends_with_the_secret() {
    let mut fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let before = SessionId::generate();
    *fixture.admin.identity.lock().expect("not poisoned") = Some(Identity {
        visitor_user_id: "ada@example.com".to_owned(),
        name: Some("Ada".to_owned()),
        email: None,
        continues: Some(before.to_string()),
    });
    let identified = visitor_token(&tenant, &json!({"tenant_generation": 0}));
    let mut visitor = Visitor::connect(fixture.relay, &identified).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    let hello = backend.hear().await.expect("hello");
    assert_eq!(
        (&hello["visitor_user_id"], &hello["visitor_display_name"], &hello["continues"], &hello["origin"]),
        (&json!("ada@example.com"), &json!("Ada"), &json!(before.to_string()), &json!(PAGE))
    );
    assert!(hello.get("visitor_email").is_none());
    let mut anonymous = Visitor::connect(fixture.relay, &visitor_token(&tenant, &json!({}))).await;
    let mut kept = fixture.sockets.recv().await.expect("the backend is connected");
    kept.hear().await.expect("hello");

    // A leaked secret may have minted the identity; nobody vouched for the other session.
    fixture.admin.set(&tenant, |state| state.token_generation = 1);
    fixture.admin.push_change(Some(&tenant)).await;
    assert_eq!(backend.hear().await, None);
    assert_eq!(visitor.closed().await, 4401);
    assert_eq!(Visitor::connect(fixture.relay, &identified).await.closed().await, 4401);
    anonymous.ask("still here").await;
    assert_eq!(kept.hear().await.expect("a frame")["content"], "still here");
}
