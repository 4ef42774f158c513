//! Every refusal of PROTOCOL.md, section 4, and its order: what is cheap comes first, and nothing refused is forwarded.

use std::time::{Duration, Instant};

use http::Method;
use proto::directory::v1::{PreviousKey, TenantStatus};
use serde_json::Value;
use service::ApiError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::{ErrorCode, signature::WINDOW_MS, time::now_unix_ms};

use crate::{
    fakes::{Fixture, nobody, ok, refusal, tenant},
    leased::until,
};

fn expected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn unsigned_calls_cost_nobody_anything() {
    let fixture = Fixture::start().await;
    let [id, timestamp, signature] = fixture.tenant.headers(now_unix_ms(), b"");
    let get = || fixture.client.get(fixture.url("fetch/messages"));
    let (all, missing) = ([&id, &timestamp, &signature], expected(401, "missing_signature_headers"));
    assert_eq!(refusal(get()).await, missing);
    for left_out in 0..3 {
        let some = all.iter().enumerate().filter(|(index, _)| *index != left_out);
        let request = some.fold(get(), |request, (_, (name, value))| request.header(*name, value));
        assert_eq!(refusal(request).await, missing);
        let twice = all
            .iter()
            .fold(get(), |request, (name, value)| request.header(*name, value))
            .header(all[left_out].0, &all[left_out].1);
        assert_eq!(refusal(twice).await, expected(401, "malformed_signature_headers"));
        let garbled = all.iter().enumerate().fold(get(), |request, (index, (name, value))| {
            request.header(*name, if index == left_out { "nonsense" } else { value })
        });
        assert_eq!(refusal(garbled).await, expected(401, "malformed_signature_headers"));
    }
    assert!(fixture.admin.calls().is_empty(), "no lookup for what cannot be verified");
}

#[tokio::test]
async fn a_stale_or_future_timestamp_is_told_the_relays_time() {
    let fixture = Fixture::start().await;
    for offset in [-WINDOW_MS - 5_000, WINDOW_MS + 5_000] {
        let request = fixture
            .tenant
            .headers(now_unix_ms() + offset, b"")
            .into_iter()
            .fold(fixture.client.get(fixture.url("fetch/messages")), |request, (name, value)| {
                request.header(name, value)
            });
        let body: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(body["error_code"], "timestamp_out_of_window");
        let message = body["message"].as_str().expect("text");
        assert!(
            message.contains("whose time is") && message.contains(if offset < 0 { "behind" } else { "ahead" }),
            "{message}"
        );
    }
    assert!(fixture.admin.calls().is_empty());
}

#[tokio::test]
async fn wrong_and_unknown_are_one_answer_that_explains_itself() {
    let fixture = Fixture::start().await;
    let stranger = tenant();
    let mut wrong = fixture.tenant.clone();
    wrong.secret = "sk_wrong".into();
    let mut answers = Vec::new();
    for who in [&stranger, &wrong] {
        let answer = who
            .request(&fixture.client, Method::POST, &fixture.url("add/message"), r#"{"content":"é"}"#)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 401);
        let mut body: Value = answer.json().await.expect("JSON");
        let received = body["received"].take();
        let timestamp = received["timestamp"].as_str().expect("text");
        assert_eq!(received["body_bytes"], 16);
        assert_eq!(
            received["signing_string"],
            format!("{timestamp}.{}", received["body_sha256"].as_str().expect("text"))
        );
        assert_eq!(received.as_object().map(serde_json::Map::len), Some(4));
        body["request_id"].take();
        answers.push(body);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0]["error_code"], "invalid_signature");
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test]
async fn a_tampered_body_is_refused() {
    let fixture = Fixture::start().await;
    let request = fixture.post("add/message", "signed").body("tampered");
    assert_eq!(refusal(request).await, expected(401, "invalid_signature"));
}

#[tokio::test]
async fn a_suspended_tenant_is_told_so_once_it_proved_who_it_is() {
    let fixture = Fixture::start().await;
    fixture.admin.set(&fixture.tenant, |state| state.set_status(TenantStatus::Suspended));
    assert_eq!(refusal(fixture.post("add/message", "{}")).await, expected(403, "tenant_suspended"));
    let mut wrong = fixture.tenant.clone();
    wrong.secret = "sk_wrong".into();
    let request = wrong.request(&fixture.client, Method::POST, &fixture.url("add/message"), "{}");
    assert_eq!(refusal(request).await, expected(401, "invalid_signature"));
}

#[tokio::test]
async fn what_changed_counts_for_the_next_call() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(fixture.post("a", "1").send().await.expect("an answer").status(), 200);
    fixture.admin.set(&fixture.tenant, |state| state.hmac_key = b"sk_new".to_vec());
    assert_eq!(refusal(fixture.post("a", "2")).await, expected(401, "invalid_signature"));
}

#[tokio::test]
async fn a_secret_from_before_a_rotation_is_taken_until_its_end_and_its_use_is_told() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    let old = fixture.tenant.secret.clone();
    let keeps_old_for = |valid_for_ms| {
        fixture.admin.set(&fixture.tenant, |state| {
            state.hmac_key = b"sk_new".to_vec();
            let hmac_key = old.clone().into_bytes();
            state.previous_key = Some(PreviousKey { hmac_key, valid_for_ms, rotated_at_ms: 1_718_960_000_000 });
        });
    };
    keeps_old_for(60_000);
    let before = now_unix_ms();
    assert_eq!(fixture.post("a", "1").send().await.expect("an answer").status(), 200);
    let mut other = fixture.tenant.clone();
    other.secret = "sk_older".into();
    let request = other.request(&fixture.client, Method::POST, &fixture.url("a"), "2");
    assert_eq!(refusal(request).await, expected(401, "invalid_signature"));
    let uses = || fixture.admin.previous_uses.lock().expect("not poisoned");
    until(async || !uses().is_empty()).await;
    let told = uses().remove(0);
    let [used] = told.uses.as_slice() else { panic!("{told:?}") };
    assert_eq!((used.rotated_at_ms, told.gateway.is_empty()), (1_718_960_000_000, false));
    assert!((before..=now_unix_ms()).contains(&used.used_at_ms), "{told:?}");

    keeps_old_for(0);
    assert_eq!(refusal(fixture.post("a", "3")).await, expected(401, "invalid_signature"));
}

#[tokio::test]
async fn the_same_signed_call_is_taken_once() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    let again = |method: Method, path: &str, headers: &[(&'static str, String); 3]| {
        headers.iter().fold(fixture.client.request(method, fixture.url(path)).body("{}"), |request, (name, value)| {
            request.header(*name, value)
        })
    };
    let headers = fixture.tenant.headers(now_unix_ms(), b"{}");
    assert_eq!(again(Method::POST, "a", &headers).send().await.expect("an answer").status(), 200);
    assert_eq!(refusal(again(Method::POST, "a", &headers)).await, expected(409, "replayed_request"));
    let headers = fixture.tenant.headers(now_unix_ms() - 1_000, b"{}");
    for _ in 0..3 {
        assert_eq!(
            again(Method::GET, "a", &headers).send().await.expect("an answer").status(),
            200,
            "reading again is no replay"
        );
    }
    assert_eq!(fixture.backend.count(), 4);
    assert_eq!(
        refusal(again(Method::DELETE, "a", &headers)).await,
        expected(409, "replayed_request"),
        "what was signed for reading does not come back as a write"
    );
}

/// The head of a signed POST, by hand: its body is the test's to send.
fn head(fixture: &Fixture, timestamp: i64, body: &[u8], framing: &str) -> String {
    let headers = fixture.tenant.headers(timestamp, body);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("POST /api/v1/relay/a HTTP/1.1\r\nhost: relay\r\n{headers}{framing}\r\n\r\n")
}

/// Sends bytes, and answers what comes back first.
async fn exchange(stream: &mut tokio::net::TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.expect("sent");
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn a_body_held_back_past_the_window_is_refused() {
    let fixture = Fixture::start().await;
    let timestamp = now_unix_ms() - WINDOW_MS + 2_000;
    let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
    stream.write_all(head(&fixture, timestamp, b"{}", "content-length: 2").as_bytes()).await.expect("sent");
    while now_unix_ms() <= timestamp + WINDOW_MS {
        tokio::task::yield_now().await;
    }
    let answer = exchange(&mut stream, b"{}").await;
    assert!(answer.contains("timestamp_out_of_window"), "{answer}");
    assert_eq!(fixture.admin.calls().len(), 1, "it was within the window when it began");
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test]
async fn of_many_copies_sent_at_once_one_is_taken() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    let headers = fixture.tenant.headers(now_unix_ms(), b"{}");
    let copies = (0..20).map(|_| {
        headers
            .iter()
            .fold(fixture.client.post(fixture.url("a")).body("{}"), |request, (name, value)| {
                request.header(*name, value)
            })
            .send()
    });
    let taken = futures_util::future::join_all(copies)
        .await
        .into_iter()
        .filter(|answer| answer.as_ref().expect("an answer").status() == 200)
        .count();
    assert_eq!((taken, fixture.backend.count()), (1, 1));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_without_being_read() {
    let fixture = Fixture::with(&[("GATEWAY_BODY_LIMIT_BYTES", "1000")]).await;
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(
        fixture.post("a", &"x".repeat(1000)).send().await.expect("an answer").status(),
        200,
        "the limit itself is allowed"
    );
    assert_eq!(refusal(fixture.post("a", &"x".repeat(1001))).await, expected(413, "body_too_large"));

    // A length that is only declared, and a body without a length that never ends: both are answered before they end.
    for (framing, body) in [
        ("content-length: 5000000000", String::new()),
        ("transfer-encoding: chunked", format!("400\r\n{}\r\n", "x".repeat(1024))),
    ] {
        let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
        let sent = format!("{}{body}", head(&fixture, now_unix_ms(), b"", framing));
        let answer = exchange(&mut stream, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{framing}: {answer}");
    }
    // A client that sends on regardless still gets to read why.
    for _ in 0..5 {
        let request = fixture.post("a", "").body("x".repeat(8 * 1024 * 1024));
        assert_eq!(refusal(request).await, expected(413, "body_too_large"));
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    for setting in ["GATEWAY_BODY_IDLE_TIMEOUT_MS", "GATEWAY_BODY_TIMEOUT_MS"] {
        let fixture = Fixture::with(&[(setting, "50")]).await;
        let started = Instant::now();
        let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
        let sent = format!("{}half", head(&fixture, now_unix_ms(), b"", "content-length: 10"));
        let answer = exchange(&mut stream, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{setting}: {answer}");
        assert!(started.elapsed() < Duration::from_secs(5), "{setting} was not heeded");
    }
}

#[tokio::test]
async fn a_head_that_stops_arriving_is_given_up() {
    let fixture = Fixture::with(&[("GATEWAY_HEADER_TIMEOUT_MS", "50")]).await;
    let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
    stream.write_all(b"POST /api/v1/relay/a HTTP/1.1\r\nhost: re").await.expect("sent");
    let started = Instant::now();
    let mut answer = Vec::new();
    // The connection ends; whether with a 408 or without a word is hyper's.
    stream.read_to_end(&mut answer).await.expect("it is closed");
    assert!(started.elapsed() < Duration::from_secs(5), "the setting was not heeded");
}

#[tokio::test]
async fn only_verified_calls_spend_a_tenants_rate() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    fixture.admin.set(&fixture.tenant, |state| state.rate_limit_per_min = 3);
    let mut wrong = fixture.tenant.clone();
    wrong.secret = "sk_wrong".into();
    for index in 0..10 {
        let request = wrong.request(&fixture.client, Method::POST, &fixture.url("a"), index.to_string());
        assert_eq!(refusal(request).await, expected(401, "invalid_signature"));
    }
    for left in [2, 1, 0] {
        let answer = fixture.post("a", &format!("left {left}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["ratelimit-policy"], "\"tenant\";q=3;w=60");
        let rate = answer.headers()["ratelimit"].to_str().expect("text").to_owned();
        assert!(rate.starts_with(&format!("\"tenant\";r={left};t=")), "{rate}");
    }
    let answer = fixture.post("a", "one more").send().await.expect("an answer");
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    assert!(answer.headers()["ratelimit"].to_str().expect("text").starts_with("\"tenant\";r=0;t="));
    assert_eq!(answer.json::<Value>().await.expect("JSON")["error_code"], "rate_limited");
    assert_eq!(fixture.backend.count(), 3);
}

#[tokio::test]
async fn a_flood_of_bad_signatures_is_turned_away_before_it_costs_a_lookup() {
    let fixture = Fixture::with(&[("GATEWAY_UNVERIFIED_PER_MIN", "5")]).await;
    let stranger = tenant();
    let mut codes = Vec::new();
    for index in 0..12 {
        codes.push(
            refusal(stranger.request(&fixture.client, Method::POST, &fixture.url("a"), index.to_string())).await.0,
        );
    }
    assert_eq!(codes.iter().filter(|code| **code == 401).count(), 5, "a limit of five is five: {codes:?}");
    assert_eq!(codes.last(), Some(&429));
    assert_eq!(fixture.admin.calls().len(), 5);
}

#[tokio::test]
async fn a_lookup_is_counted_however_the_call_ends() {
    let fixture = Fixture::with(&[("GATEWAY_UNVERIFIED_PER_MIN", "3"), ("GATEWAY_BODY_LIMIT_BYTES", "10")]).await;
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
        let answer = exchange(&mut stream, head(&fixture, now_unix_ms(), b"", "content-length: 11").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    assert_eq!(refusal(fixture.post("a", "1")).await, expected(429, "rate_limited"));
}

#[tokio::test]
async fn trusted_proxies_tell_callers_apart() {
    let fixture = Fixture::with(&[("GATEWAY_UNVERIFIED_PER_MIN", "1"), ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]).await;
    fixture.backend.answers(|_| ok("{}"));
    let stranger = tenant();
    let from = |who: &e2e::signed::Tenant, address: &str, body: &'static str| {
        who.request(&fixture.client, Method::POST, &fixture.url("a"), body).header("x-forwarded-for", address)
    };
    assert_eq!(refusal(from(&stranger, "198.51.100.1", "1")).await.0, 401);
    assert_eq!(refusal(from(&stranger, "198.51.100.1", "3")).await.0, 429);
    assert_eq!(from(&fixture.tenant, "198.51.100.2", "4").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn trouble_with_the_directory_is_never_a_401() {
    let fixture = Fixture::start().await;
    for code in
        [ErrorCode::StoreUnavailable, ErrorCode::Internal, ErrorCode::InvalidServiceToken, ErrorCode::TenantNotFound]
    {
        fixture.admin.break_method("GetTenant", ApiError::new(code, "broken on purpose"));
        let answer = fixture.post("a", &format!("{code:?}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 503, "{code:?}");
        assert!(answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error_code"], "directory_unavailable");
        assert!(!body.to_string().contains("broken on purpose"), "the cause is for the log");
    }
    fixture.admin.mend();
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(fixture.post("a", "again").send().await.expect("an answer").status(), 200, "an error is not remembered");
    assert!(fixture.shown_metrics().contains("relay_refusals_total{reason=\"directory_unavailable\"} 4"));
}

#[tokio::test]
async fn an_absent_admin_service_is_503_and_the_next_replica_is_asked() {
    let (_kept, absent) = nobody();
    let absent = format!("http://{absent}");
    let fixture = Fixture::with(&[("GATEWAY_ADMIN_GRPC", &absent)]).await;
    assert_eq!(refusal(fixture.post("a", "1")).await, expected(503, "directory_unavailable"));
    let ready = async |fixture: &Fixture| {
        let url = format!("http://{}/readyz", fixture.relay);
        fixture.client.get(url).send().await.expect("an answer").status()
    };
    assert_eq!(ready(&fixture).await, 503);

    let present = Fixture::leased().await;
    assert_eq!(ready(&present).await, 200);
    let replicas = format!("{absent},{}", present.admin_url());
    let fixture = Fixture::with(&[("GATEWAY_ADMIN_GRPC", &replicas)]).await;
    present.admin.set(&fixture.tenant, |_| {});
    fixture.backend.answers(|_| ok("{}"));
    assert_eq!(fixture.post("a", "1").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_envelope() {
    let fixture = Fixture::with(&[("GATEWAY_EXPOSE_ADMIN_API", "false")]).await;
    let base = format!("http://{}", fixture.relay);
    for path in
        ["/", "/api/v1/relay", "/api/v1/relay/", "/api/v1/nothing", "/api/v1/provision/tenant", "/api/v2/relay/a"]
    {
        assert_eq!(refusal(fixture.client.post(format!("{base}{path}"))).await, expected(404, "not_found"), "{path}");
    }
    // A client's URL parser would take the dots out: they are sent by hand.
    for path in ["/api/v1/relay/../admin", "/api/v1/relay/a/%2e%2e/b"] {
        let mut stream = tokio::net::TcpStream::connect(fixture.relay).await.expect("it connects");
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    for (method, path, allow) in [
        (Method::GET, "provision/operator", "POST"),
        (Method::PUT, "fetch/tenant-info", "GET, HEAD"),
        (Method::OPTIONS, "add/message", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (Method::TRACE, "add/message", "GET, HEAD, POST, PUT, PATCH, DELETE"),
    ] {
        let answer = fixture.client.request(method, fixture.url(path)).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["allow"].to_str().expect("text")),
            (405, allow),
            "{path}"
        );
    }
    assert_eq!(fixture.backend.count(), 0);
}
