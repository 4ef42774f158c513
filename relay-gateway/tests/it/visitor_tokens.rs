//! The refreshing of visitors' tokens, and the widget's script.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::visitor::{PAGE, from_page};
use http::header;
use proto::directory::v1::TenantStatus;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use service::ApiError;

use crate::fakes::{Fixture, refusal, visitor_token};

fn url(fixture: &Fixture, path: &str) -> String {
    format!("http://{}/api/v1/{path}", fixture.relay)
}

fn refresh(fixture: &Fixture, token: &str) -> RequestBuilder {
    fixture.client.post(url(fixture, "refresh/visitor-token")).bearer_auth(token)
}

fn times(fixture: &Fixture, method: &str) -> usize {
    fixture.admin.calls().iter().filter(|call| *call == method).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refreshed_by_one_that_has_ended_and_by_no_other() {
    let fixture = Fixture::leased().await;
    let tenant = &fixture.tenant;
    let session = "vs_0192f3a4b5c67d8e8f90a1b2c3d4e5f6";
    let token = |claims: Value| visitor_token(tenant, &claims);
    let ended = token(json!({"sub": session, "exp": 1_000_000_000}));
    let answer = from_page(refresh(&fixture, &ended), PAGE).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN]),
        (200, &PAGE.parse().expect("text"))
    );
    let answer: Value = answer.json().await.expect("an envelope");
    assert_eq!((&answer["data"]["session_id"], &answer["data"]["visitor_token"]), (&json!(session), &json!(session)));

    let other = crate::fakes::tenant();
    let good = token(json!({}));
    let mut altered = good.clone().into_bytes();
    altered[60] ^= 1;
    let altered = String::from_utf8(altered).expect("ASCII");
    let forged = {
        let [header, claims]: [&str; 2] = good.split('.').take(2).collect::<Vec<_>>().try_into().expect("two parts");
        let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header).expect("base64")).expect("JSON");
        format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header.replace("EdDSA", "none")))
    };
    for (what, token, expected) in [
        ("nothing", String::new(), 401),
        ("noise", "a.b.c".to_owned(), 401),
        ("altered", altered, 401),
        ("alg none", forged, 401),
        ("an operator's", token(json!({"aud": "chat-backend"})), 401),
        ("a tenant that is unknown", visitor_token(&other, &json!({})), 401),
        ("a key that was rotated", token(json!({"widget_key": "pk_old"})), 401),
        ("another page's", token(json!({"origin": "https://other.example"})), 403),
    ] {
        assert_eq!(refusal(from_page(refresh(&fixture, &token), PAGE)).await.0, expected, "{what}");
    }
    let evil = from_page(refresh(&fixture, &good), "https://evil.example");
    assert_eq!(refusal(evil).await, (403, "origin_not_allowed".to_owned()));
    let twice = refresh(&fixture, &good).header(header::AUTHORIZATION, format!("Bearer {good}"));
    assert_eq!(refusal(twice).await, (401, "invalid_visitor_token".to_owned()));
    assert_eq!(times(&fixture, "RefreshToken"), 1);

    // What only the admin service knows, which speaks to callers of its methods.
    fixture.admin.break_method("RefreshToken", ApiError::invalid_visitor_token());
    let answer = from_page(refresh(&fixture, &good), PAGE).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("an envelope");
    assert_eq!((&answer["status_code"], &answer["error_code"]), (&json!(401), &json!("invalid_visitor_token")));
    assert_eq!(
        answer["message"],
        "This token opens no session any more: the session is over, or a newer token of it was used more than a minute ago. \
         POST /api/v1/create/visitor-session begins another; a minted token is replaced by the tenant's backend."
    );
    fixture.admin.mend();

    fixture.admin.set(tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(tenant)).await;
    assert_eq!(refusal(from_page(refresh(&fixture, &good), PAGE)).await, (403, "tenant_suspended".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_widget_is_served_to_be_kept_for_a_while() {
    let fixture = Fixture::start().await;
    let get = || fixture.client.get(format!("http://{}/widget.js", fixture.relay));
    let plain = get().send().await.expect("an answer");
    let headers = plain.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=300");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let etag = headers[header::ETAG].clone();
    let size = plain.bytes().await.expect("a body").len();
    let known = get().header(header::IF_NONE_MATCH, &etag).send().await.expect("an answer");
    assert_eq!((known.status().as_u16(), &known.headers()[header::ETAG]), (304, &etag));
    let zipped = get().header(header::ACCEPT_ENCODING, "gzip").send().await.expect("an answer");
    assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
    assert_ne!(zipped.headers()[header::ETAG], etag, "another body, another tag");
    let zipped = zipped.bytes().await.expect("a body").len();
    let brotli = get().header(header::ACCEPT_ENCODING, "gzip, br").send().await.expect("an answer");
    assert_eq!(brotli.headers()[header::CONTENT_ENCODING], "br");
    let brotli = brotli.bytes().await.expect("a body").len();
    assert!(brotli < zipped && zipped < size, "{brotli} or {zipped} of {size} bytes");
    assert!(zipped <= 9_000, "before the first click: {zipped} bytes");
    let chat = fixture.client.get(format!("http://{}/api/v1/widget/chat.js", fixture.relay));
    let chat = chat.header(header::ACCEPT_ENCODING, "gzip").send().await.expect("an answer");
    assert_eq!(chat.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(chat.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let whole = zipped + chat.bytes().await.expect("a body").len();
    assert!(whole <= 45_000, "all of it: {whole} bytes");
    let beside =
        fixture.client.get(format!("http://{}/api/v1/widget.js", fixture.relay)).send().await.expect("an answer");
    assert_eq!(beside.headers()[header::ETAG], etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_widgets_texts_are_served_by_language() {
    let fixture = Fixture::start().await;
    let get = |file: &str| fixture.client.get(format!("http://{}/api/v1/widget/texts/{file}", fixture.relay));
    let german = get("de.json").send().await.expect("an answer");
    assert_eq!(german.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(german.headers()[header::CACHE_CONTROL], "public, max-age=300");
    assert_eq!(german.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let etag = german.headers()[header::ETAG].clone();
    assert_eq!(german.json::<serde_json::Value>().await.expect("JSON")["openChat"], "Chat öffnen");
    let known = get("de.json").header(header::IF_NONE_MATCH, &etag).send().await.expect("an answer");
    assert_eq!(known.status(), 304);
    for none in ["en.json", "de", "xx.json", "..%2Fbuild.mjs", "de.json.json"] {
        assert_eq!(refusal(get(none)).await, (404, "not_found".to_owned()), "{none}");
    }
}
