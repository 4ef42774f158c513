//! Files that visitors and operators send, and how they are served. PROTOCOL.md, section 5.12.

use std::time::{Duration, Instant};

use axum::{body::Body, response::Response};
use e2e::visitor::{PAGE, from_page};
use http::{HeaderValue, Method, StatusCode};
use proto::directory::v1::TenantStatus;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;
use wire::SessionId;

use crate::{
    fakes::{Fixture, LEASE_MS, another, operator_token, refusal, visitor_token},
    leased::until,
};

const KEPT: &str = r#"{"success":true,"status_code":201,"data":{"type":"image"},"message":"File kept."}"#;

fn upload(fixture: &Fixture, path: &str, token: &str, query: &str) -> RequestBuilder {
    let url = format!("http://{}/api/v1/{path}?{query}", fixture.relay);
    fixture.client.post(url).bearer_auth(token).header("content-type", "image/png")
}

fn keeps(fixture: &Fixture) {
    fixture.backend.answers(|_| {
        let answer = Response::builder().status(201).header("content-type", "application/json");
        answer.body(Body::from(KEPT)).expect("an answer")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_reaches_the_backend_as_it_is_and_in_its_senders_name() {
    let fixture = Fixture::leased().await;
    keeps(&fixture);
    let tenant = fixture.tenant.clone();
    let (session, operator) = (SessionId::generate().to_string(), Uuid::now_v7());
    fixture.admin.member(&tenant, operator, |_| {});
    fixture.admin.set(&tenant, |state| state.storage_gb_quota = 2);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for (path, token, actor) in [
        ("upload/attachment", visitor_token(&tenant, &json!({"sub": session})), format!("visitor:{session}")),
        ("operator/upload/attachment", operator_token(&tenant, operator, &json!({})), format!("operator:{operator}")),
    ] {
        let sent = upload(&fixture, path, &token, "name=a%20caf%C3%A9%26.png&quota_bytes=9").body(bytes.clone());
        let answer = from_page(sent, PAGE).send().await.expect("an answer");
        assert_eq!(
            (answer.status(), &answer.headers()["cache-control"]),
            (StatusCode::CREATED, &HeaderValue::from_static("no-store"))
        );
        let kept: Value = answer.json().await.expect("JSON");
        assert_eq!(kept["data"]["type"], "image");
        let arrived = fixture.backend.last();
        assert_eq!(arrived.path_and_query, "/upload/attachment?name=a%20caf%C3%A9%26%2Epng&quota_bytes=2000000000");
        assert_eq!(arrived.headers["x-relay-actor"], actor.as_str());
        assert_eq!(
            (&arrived.headers["content-type"], &arrived.headers["content-length"]),
            (&HeaderValue::from_static("image/png"), &HeaderValue::from_static("3000000"))
        );
        assert!(!arrived.headers.contains_key("authorization"));
        assert_eq!(arrived.body, bytes, "{path}");
    }
    assert!(fixture.shown_metrics().contains("visitor_sockets_open 0"), "the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_before_the_backend_hears_of_it() {
    let fixture = Fixture::leased_with(LEASE_MS, &[("GATEWAY_ATTACHMENT_BYTES", "1000")]).await;
    let tenant = fixture.tenant.clone();
    let (suspended, without_files) = (another(&fixture), another(&fixture));
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.set(&without_files, |state| state.file_upload_enabled = Some(false));
    let token = visitor_token(&tenant, &json!({}));
    let path = "upload/attachment";
    for (call, refused) in [
        (upload(&fixture, path, &token, "name=a").body(vec![0; 1001]), (413, "body_too_large")),
        (upload(&fixture, path, &token, "name=a").body(""), (422, "validation_failed")),
        (upload(&fixture, path, &token, "").body("x"), (422, "validation_failed")),
        (upload(&fixture, path, &token, "name=a%2Fb").body("x"), (422, "validation_failed")),
        (upload(&fixture, path, "abc", "name=a").body("x"), (401, "invalid_visitor_token")),
        (upload(&fixture, path, &visitor_token(&suspended, &json!({})), "name=a").body("x"), (403, "tenant_suspended")),
        (
            upload(&fixture, path, &visitor_token(&without_files, &json!({})), "name=a").body("x"),
            (403, "feature_disabled"),
        ),
        (upload(&fixture, "operator/upload/attachment", &token, "name=a").body("x"), (401, "invalid_operator_token")),
    ] {
        let (status, code) = refused;
        assert_eq!(refusal(call).await, (status, code.to_owned()));
    }
    let html = fixture.client.post(format!("http://{}/api/v1/{path}?name=a", fixture.relay)).bearer_auth(&token);
    let html = html.header("content-type", "text/html").body("<script>");
    assert_eq!(refusal(html).await, (415, "unsupported_media_type".to_owned()));
    let elsewhere = from_page(upload(&fixture, path, &token, "name=a").body("x"), "https://evil.example");
    assert_eq!(refusal(elsewhere).await, (403, "origin_not_allowed".to_owned()));
    assert_eq!(fixture.backend.count(), 0);
    let preflight =
        from_page(fixture.client.request(Method::OPTIONS, format!("http://{}/api/v1/{path}", fixture.relay)), PAGE);
    assert_eq!(preflight.send().await.expect("an answer").headers()["access-control-allow-methods"], "POST");
}

/// Begins an upload of 1000 bytes, and sends one of them.
async fn begin_slowly(fixture: &Fixture, token: &str) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("connected");
    let head = format!(
        "POST /api/v1/upload/attachment?name=a HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer {token}\r\ncontent-type: image/png\r\n\
         content-length: 1000\r\n\r\nx"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    while !fixture.shown_metrics().contains("visitor_sockets_open 1") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream
}

async fn status_of(mut stream: tokio::net::TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("an answer");
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_has_ended_an_upload_when_it_is_acknowledged() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.clone();
    let stream = begin_slowly(&fixture, &visitor_token(&tenant, &json!({}))).await;
    fixture.admin.set(&tenant, |state| state.status = TenantStatus::Suspended.into());
    fixture.admin.push_change(Some(&tenant)).await;
    assert!(fixture.shown_metrics().contains("visitor_sockets_open 0"));
    assert_eq!(status_of(stream).await, "HTTP/1.1 403");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_counts_as_a_socket_of_its_session() {
    let fixture = Fixture::leased_with(LEASE_MS, &[("GATEWAY_MAX_SOCKETS_PER_SESSION", "1")]).await;
    keeps(&fixture);
    let token = visitor_token(&fixture.tenant, &json!({"sub": SessionId::generate().to_string()}));
    let stream = begin_slowly(&fixture, &token).await;
    let second = upload(&fixture, "upload/attachment", &token, "name=a").body("x");
    assert_eq!(refusal(second).await, (429, "rate_limited".to_owned()));
    let of_another_session = upload(
        &fixture,
        "upload/attachment",
        &visitor_token(&fixture.tenant, &json!({"sub": SessionId::generate().to_string()})),
        "name=a",
    );
    assert_eq!(of_another_session.body("x").send().await.expect("an answer").status(), StatusCode::CREATED);
    // A sender that is gone holds nothing.
    drop(stream);
    until(async || fixture.shown_metrics().contains("visitor_sockets_open 0")).await;
    let next = upload(&fixture, "upload/attachment", &token, "name=a").body("x").send().await.expect("an answer");
    assert_eq!(next.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_the_backends_own_is_not_passed_on() {
    let fixture = Fixture::leased().await;
    let token = visitor_token(&fixture.tenant, &json!({}));
    fixture.backend.answers(|_| Response::builder().status(404).body(Body::from("<html>")).expect("an answer"));
    let refused = refusal(upload(&fixture, "upload/attachment", &token, "name=a").body("x")).await;
    assert_eq!(refused, (502, "backend_bad_response".to_owned()));
    fixture.backend.answers(|_| {
        let full = r#"{"success":false,"status_code":503,"error_code":"store_unavailable","message":"m","retry_after_seconds":5}"#;
        Response::builder().status(503).body(Body::from(full)).expect("an answer")
    });
    let answer = upload(&fixture, "upload/attachment", &token, "name=a").body("x").send().await.expect("an answer");
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(5))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_stops_coming_is_given_up() {
    let fixture = Fixture::leased_with(LEASE_MS, &[("GATEWAY_BODY_IDLE_TIMEOUT_MS", "200")]).await;
    let begun = Instant::now();
    let stream = begin_slowly(&fixture, &visitor_token(&fixture.tenant, &json!({}))).await;
    assert_eq!(status_of(stream).await, "HTTP/1.1 408");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_no_unsigned_bodies_is_not_taken_to_refuse_the_relay() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| Response::builder().status(401).body(Body::empty()).expect("an answer"));
    let token = visitor_token(&fixture.tenant, &json!({}));
    let refused = refusal(upload(&fixture, "upload/attachment", &token, "name=a").body("x")).await;
    assert_eq!(refused, (502, "backend_refused_relay".to_owned()));
    let (tenant, key) = (&fixture.tenant.id, &fixture.tenant.widget_public_key);
    let config =
        format!("http://{}/api/v1/fetch/widget-config?tenant_id={tenant}&widget_public_key={key}", fixture.relay);
    let config: Value = fixture.client.get(config).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(config["data"]["is_online"], true);
}

const ID: &str = "0123456789abcdef0123456789abcdef";

fn file(fixture: &Fixture, tenant: &str, rest: &str) -> RequestBuilder {
    fixture.client.get(format!("http://{}/api/v1/attachments/{tenant}/{rest}", fixture.relay))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_served_so_that_no_browser_runs_it() {
    let fixture = Fixture::leased().await;
    let tenant = fixture.tenant.id.clone();
    for (mime, how) in [("image/png", "inline"), ("text/html", "attachment"), ("image/svg+xml", "attachment")] {
        fixture.backend.answers(move |_| {
            let answer = Response::builder().header("content-type", mime).header("etag", "\"e\"");
            // None of these is the backend's to say.
            let answer = answer.header("content-disposition", "inline").header("set-cookie", "a=b");
            answer.header("content-security-policy", "script-src *").body(Body::from("bytes")).expect("an answer")
        });
        let answer = file(&fixture, &tenant, &format!("{ID}/caf%C3%A9%20%22.png")).send().await.expect("an answer");
        let headers = answer.headers().clone();
        let text = |name: &str| headers[name].to_str().expect("text").to_owned();
        assert_eq!(text("content-type"), mime);
        assert_eq!(text("content-disposition"), format!("{how}; filename*=UTF-8''caf%C3%A9%20%22%2Epng"));
        assert_eq!(text("x-content-type-options"), "nosniff");
        assert_eq!(text("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!((text("cache-control").as_str(), text("etag").as_str()), ("private, no-cache", "\"e\""));
        assert!(!headers.contains_key("set-cookie"));
        assert_eq!(answer.text().await.expect("a body"), "bytes");
        let arrived = fixture.backend.last();
        assert_eq!(
            (arrived.path_and_query, &arrived.headers["x-relay-actor"]),
            (format!("/fetch/attachment?id={ID}"), &HeaderValue::from_static("tenant"))
        );
    }
    fixture.backend.answers(|arrived| {
        let status = if arrived.headers.contains_key("if-none-match") { 304 } else { 404 };
        Response::builder().status(status).body(Body::empty()).expect("an answer")
    });
    let again = file(&fixture, &tenant, &format!("{ID}/a")).header("if-none-match", "\"e\"");
    assert_eq!(again.send().await.expect("an answer").status(), 304);
    assert_eq!(refusal(file(&fixture, &tenant, &format!("{ID}/a"))).await, (404, "not_found".to_owned()));
    fixture.backend.answers(|_| Response::builder().status(503).body(Body::empty()).expect("an answer"));
    assert_eq!(refusal(file(&fixture, &tenant, &format!("{ID}/a"))).await, (503, "backend_unreachable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_files_are_read_by_nobody_and_guesses_are_counted() {
    let fixture = Fixture::leased_with(LEASE_MS, &[("GATEWAY_UNVERIFIED_PER_MIN", "5")]).await;
    let suspended = another(&fixture);
    fixture.admin.set(&suspended, |state| state.status = TenantStatus::Suspended.into());
    for _ in 0..7 {
        let refused = refusal(file(&fixture, &suspended.id, &format!("{ID}/a"))).await;
        assert_eq!(refused, (403, "tenant_suspended".to_owned()), "no fault of the caller's");
    }
    assert_eq!(fixture.backend.count(), 0);
    let stranger = Uuid::now_v7().to_string();
    let mut statuses = Vec::new();
    for (tenant, rest) in [
        (fixture.tenant.id.as_str(), "short/a".to_owned()),
        (&fixture.tenant.id, format!("{}/a", "g".repeat(32))),
        ("no-id", format!("{ID}/a")),
        (&stranger, format!("{ID}/a")),
        (&stranger, format!("{ID}/b")),
        (&stranger, format!("{ID}/c")),
    ] {
        statuses.push(refusal(file(&fixture, tenant, &rest)).await.0);
    }
    assert_eq!(statuses, [404, 404, 404, 404, 404, 429]);
    assert_eq!(fixture.backend.count(), 0);
}
