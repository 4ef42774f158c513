//! Requests that two servers could read as two, that no server can read, or that are refused before they were read.

use std::time::Duration;

use axum::response::IntoResponse as _;
use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use wire::time::now_unix_ms;

use crate::fakes::{Fixture, ok, refusal};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection answers to these bytes, until it closes.
async fn answer(fixture: &Fixture, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(fixture.relay).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("an orderly end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The envelope of a refusal, with its request id in both places.
fn envelope(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!((&body["success"], &body["error_code"]), (&Value::Bool(false), &Value::String(code.to_owned())));
    assert_eq!(body["status_code"], status);
    let id = body["request_id"].as_str().expect("an id");
    assert!(head.to_ascii_lowercase().contains(&format!("x-request-id: {id}")), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_in_the_envelope() {
    let fixture = Fixture::leased().await;
    envelope(&answer(&fixture, b"NONSENSE\r\n\r\n").await, 400, "malformed_request");
    envelope(&answer(&fixture, b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n").await, 400, "malformed_request");
    let both = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na";
    envelope(&answer(&fixture, both).await, 400, "malformed_request");
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(70_000));
    envelope(&answer(&fixture, long.as_bytes()).await, 414, "uri_too_long");
    let many = "x: y\r\n".repeat(200);
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n");
    envelope(&answer(&fixture, many.as_bytes()).await, 431, "headers_too_large");
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    envelope(&answer(&fixture, large.as_bytes()).await, 431, "headers_too_large");
    // After calls that were answered, too.
    let later = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\n\r\nNONSENSE\r\n\r\n";
    let answers = answer(&fixture, later).await;
    let last = answers.rfind("HTTP/1.1 4").expect("an answer");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    envelope(&answers[last..], 400, "malformed_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_host() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    let signed = fixture.tenant.headers(now_unix_ms(), b"");
    let signed: String = signed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    for path in ["/api/v1/relay/a", "/healthz"] {
        for hosts in ["", "host: a\r\nhost: a\r\n"] {
            let request = format!("GET {path} HTTP/1.1\r\n{hosts}{signed}connection: close\r\n\r\n");
            envelope(&answer(&fixture, request.as_bytes()).await, 400, "malformed_request");
        }
        let coded = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
        );
        envelope(&answer(&fixture, coded.as_bytes()).await, 400, "malformed_request");
    }
    let one = format!("GET /api/v1/relay/a HTTP/1.1\r\nhost: a\r\n{signed}connection: close\r\n\r\n");
    assert!(answer(&fixture, one.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

/// A refusal that comes before the body was read: its sender goes on writing, and still gets to read the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_caller_who_is_still_sending() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_UNVERIFIED_PER_MIN", "1000")]).await;
    let body = vec![b'x'; 900_000];
    for (head, status) in [
        ("POST /api/v1/relay/a HTTP/1.1\r\n", 401),
        ("POST /api/v1/relay/../a HTTP/1.1\r\n", 404),
        ("PATCH /api/v1/relay/provision/operator HTTP/1.1\r\n", 405),
        ("POST /nowhere HTTP/1.1\r\n", 404),
        ("DELETE /api/v1/create/visitor-session HTTP/1.1\r\n", 405),
        ("POST /api/v1/create/visitor-session HTTP/1.1\r\n", 413),
    ] {
        for _ in 0..5 {
            let mut stream = TcpStream::connect(fixture.relay).await.expect("connected");
            let head = format!("{head}host: a\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.expect("sent");
            for piece in body.chunks(100_000) {
                stream.write_all(piece).await.unwrap_or_else(|error| panic!("{head}: {error}"));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let mut answer = Vec::new();
            timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("an orderly end");
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_cannot_write_the_relays_own_headers_nor_take_out_its_id() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| {
        ([("connection", "x-request-id, content-type"), ("content-type", "application/json")], "{}").into_response()
    });
    let answer = fixture
        .post("a", "{}")
        .header("x_relay_actor", "operator:forged")
        .header("X_Relay-Tenant_Id", "forged")
        .header("connection", "x-request-id, content-type")
        .header("content-type", "application/json")
        .header("x-request-id", "call-7")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-request-id"], "call-7");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let arrived = fixture.backend.last();
    assert_eq!(arrived.headers["x-request-id"], "call-7");
    assert_eq!(arrived.headers["content-type"], "application/json");
    let forged = arrived.headers.values().any(|value| value.as_bytes().windows(6).any(|text| text == b"forged"));
    assert!(!forged, "{:?}", arrived.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_controls_and_dots_go_no_further() {
    let fixture = Fixture::leased().await;
    for path in ["a%00b", "a%0d%0ax", "a%250ab", "a/%252e%252e/b", "a%252f..%252fb", "a?x=%00"] {
        let (status, _) = refusal(fixture.signed(Method::GET, path, "")).await;
        assert!((400..=404).contains(&status), "{path}: {status}");
    }
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_not_taken_for_json() {
    let fixture = Fixture::leased().await;
    fixture.backend.answers(|_| ok("{}"));
    for path in ["mint/visitor-token", "create/contact-ticket", "provision/operator", "add/message"] {
        let request = fixture.post(path, "not really gzip").header("content-encoding", "gzip");
        assert_eq!(refusal(request).await, (415, "unsupported_media_type".to_owned()), "{path}");
    }
    let forwarded = fixture.post("ingest/knowledge", "{}").header("content-encoding", "gzip");
    assert_eq!(forwarded.send().await.expect("an answer").status(), 200, "what the backend reads is its own to say");
    assert_eq!(fixture.backend.last().headers["content-encoding"], "gzip");
}
