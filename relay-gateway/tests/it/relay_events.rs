//! A tenant's own events, which the relay answers itself over gRPC: what was delivered, and sending it again.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::Method;
use proto::directory::v1::TenantStatus;
use serde_json::{Value, json};
use service::ApiError;
use wire::ErrorCode;

use crate::fakes::{EVENT_ID, EXPIRED_CURSOR, Fixture, another, event_body, refusal};

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["status_code"], status, "{body}");
    (status, body)
}

/// The data of a success.
async fn data(request: reqwest::RequestBuilder) -> Value {
    let (status, body) = answered(request).await;
    assert_eq!(status, 200, "{body}");
    body["data"].clone()
}

/// The refused fields of a 422.
async fn refused_fields(request: reqwest::RequestBuilder) -> Vec<String> {
    let (status, body) = answered(request).await;
    assert_eq!((status, &body["error_code"]), (422, &json!("validation_failed")), "{body}");
    let errors = body["errors"].as_array().expect("a list");
    errors.iter().map(|error| error["field"].as_str().expect("text").to_owned()).collect()
}

fn get(fixture: &Fixture, path: &str) -> reqwest::RequestBuilder {
    fixture.signed(Method::GET, path, "")
}

/// The event of the fixture's tenant as it is answered.
fn shown(fixture: &Fixture, event_type: &str, state: &str) -> Value {
    let mut event = event_body(&fixture.tenant.id, event_type);
    let next_attempt_at = (state == "pending").then_some("2027-01-15T08:00:00.000Z");
    for (name, value) in [
        ("seq", json!(7)),
        ("state", json!(state)),
        ("attempts", json!(2)),
        ("next_attempt_at", json!(next_attempt_at)),
    ] {
        event[name] = value;
    }
    event
}

#[tokio::test]
async fn events_are_flat_and_there_is_always_a_next_cursor() {
    let fixture = Fixture::start().await;
    assert_eq!(
        data(get(&fixture, "fetch/events?cursor=6&limit=2")).await,
        json!({
            "items": [shown(&fixture, "message_received", "pending"), shown(&fixture, "ticket_created", "held")],
            "next_cursor": "8",
        })
    );
    assert_eq!(fixture.admin.asked_of_events(&fixture.tenant), [r#"list "6" 2"#]);
    assert_eq!(fixture.backend.count(), 0, "the relay answers itself");
}

#[tokio::test]
async fn a_limit_above_500_means_500() {
    let fixture = Fixture::start().await;
    for query in ["", "?limit=", "?limit=1", "?limit=500", "?limit=501", "?limit=18446744073709551615"] {
        data(get(&fixture, &format!("fetch/events{query}"))).await;
    }
    let limits = [100, 100, 1, 500, 500, 500].map(|limit| format!("list \"\" {limit}"));
    assert_eq!(fixture.admin.asked_of_events(&fixture.tenant), limits);
    for query in ["limit=0", "limit=-1", "limit=x", "limit=1&limit=2"] {
        assert_eq!(refused_fields(get(&fixture, &format!("fetch/events?{query}"))).await, ["limit"], "{query}");
    }
    assert_eq!(fixture.admin.asked_of_events(&fixture.tenant).len(), limits.len(), "no bad limit is asked for");
}

#[tokio::test]
async fn a_cursor_that_is_no_longer_kept_is_410() {
    let fixture = Fixture::start().await;
    let (status, body) = answered(get(&fixture, &format!("fetch/events?cursor={EXPIRED_CURSOR}"))).await;
    assert_eq!(
        (status, &body["error_code"], &body["message"]),
        (410, &json!("cursor_expired"), &json!("The oldest is 5."))
    );
    assert_eq!(refused_fields(get(&fixture, "fetch/events?cursor=x")).await, ["cursor"]);
}

#[tokio::test]
async fn one_event_has_every_attempt() {
    let fixture = Fixture::start().await;
    let at = "2027-01-15T08:00:00.000Z";
    assert_eq!(
        data(get(&fixture, &format!("fetch/event?event_id={EVENT_ID}"))).await,
        json!({
            "event": shown(&fixture, "message_received", "parked"),
            "attempts": [
                {"started_at": at, "latency_ms": 12, "status": null, "reason": "no connection", "answer": ""},
                {"started_at": at, "latency_ms": 12, "status": 500, "reason": "refused", "answer": "oh"},
            ],
        })
    );
    let (status, body) = answered(get(&fixture, "fetch/event?event_id=e+2")).await;
    assert_eq!((status, &body["error_code"]), (404, &json!("event_not_found")));
    let told = body["message"].as_str().expect("a message");
    assert!(told.contains("GET /api/v1/relay/fetch/events"), "in the words of this interface: {told}");
    assert_eq!(refused_fields(get(&fixture, "fetch/event")).await, ["event_id"]);
    assert_eq!(fixture.admin.asked_of_events(&fixture.tenant), ["get e-1", "get e+2"]);
}

#[tokio::test]
async fn events_are_sent_again_one_or_many() {
    let fixture = Fixture::start().await;
    let replay = |body: Value| fixture.post("replay/event", &body.to_string());
    assert_eq!(
        data(replay(json!({"event_id": EVENT_ID}))).await,
        json!({"event": shown(&fixture, "message_received", "pending")})
    );
    assert_eq!(refusal(replay(json!({"event_id": "e-2"}))).await, (404, "event_not_found".to_owned()));
    let replay = |body: Value| fixture.post("replay/events", &body.to_string());
    let since = "2026-11-26T12:00:00.5+02:00";
    assert_eq!(data(replay(json!({"since": since, "state": "parked"}))).await, json!({"replayed": 3}));
    data(replay(json!({"since": since, "until": "2026-11-26T11:00:00Z", "state": "no_endpoint"}))).await;
    assert_eq!(
        fixture.admin.asked_of_events(&fixture.tenant),
        [
            "replay e-1",
            "replay e-2",
            "replay parked 1795687200.500000000 None",
            r#"replay no_endpoint 1795687200.500000000 Some("1795690800.000000000")"#
        ]
    );
}

#[tokio::test]
async fn a_test_event_is_of_any_type_or_of_none() {
    let fixture = Fixture::start().await;
    let test = |body: &str| fixture.post("send/test-event", body);
    let first = json!({"event": shown(&fixture, "conversation_started", "pending")});
    assert_eq!(data(test("")).await, first);
    assert_eq!(data(test(r#"{"event_type":null}"#)).await, first);
    let agent = data(test(r#"{"event_type":"agent_assigned"}"#)).await;
    assert_eq!(agent, json!({"event": shown(&fixture, "agent_assigned", "pending")}));
    fixture.admin.break_method("SendTestEvent", ApiError::new(ErrorCode::NoEndpoint, "Call UpdateTenant."));
    let (status, body) = answered(test("{}")).await;
    assert_eq!((status, &body["error_code"]), (409, &json!("no_endpoint")));
    assert!(!body["message"].to_string().contains("UpdateTenant"), "{body}");
    assert_eq!(
        fixture.admin.asked_of_events(&fixture.tenant),
        [r#"test """#, r#"test """#, r#"test "agent_assigned""#]
    );
}

#[tokio::test]
async fn an_endpoint_is_started_everywhere_or_that_is_said() {
    let fixture = Fixture::leased_with(600_000, &[("GATEWAY_CALL_DEADLINE_MS", "900")]).await;
    let start = |body: &str| fixture.post("start/endpoint", body);
    assert_eq!(data(start("")).await, json!({"endpoint_state": "active"}));
    assert_eq!(data(start("{}")).await, json!({"endpoint_state": "active"}));
    assert_eq!(refusal(start("{")).await, (400, "malformed_json".to_owned()));
    fixture.admin.is_slow.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let answer = start("{ }").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    let body: Value = answer.json().await.expect("an envelope");
    assert_eq!(body["error_code"], "change_propagating");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(fixture.admin.asked_of_events(&fixture.tenant), ["start"; 3]);
}

#[tokio::test]
async fn bad_fields_are_named_and_reach_nobody() {
    let fixture = Fixture::start().await;
    let long = "e".repeat(129);
    for (path, body, fields) in [
        ("replay/event", json!({}), vec!["event_id"]),
        ("replay/event", json!({"event_id": 7}), vec!["event_id"]),
        ("replay/event", json!({"event_id": long}), vec!["event_id"]),
        ("replay/events", json!({}), vec!["since", "state"]),
        (
            "replay/events",
            json!({"since": "yesterday", "until": 1, "state": "pending"}),
            vec!["since", "until", "state"],
        ),
        ("replay/events", json!({"since": "2026-11-26T10:00:00", "state": "held"}), vec!["since", "state"]),
        ("replay/events", json!({"since": "2026-11-26T10:00:00Z", "state": "parked", "untill": "x"}), vec!["untill"]),
        ("replay/events", json!([]), vec!["body"]),
        ("send/test-event", json!({"event_type": 7}), vec!["event_type"]),
        ("send/test-event", json!({"event_type": " "}), vec!["event_type"]),
        ("start/endpoint", json!("now"), vec!["body"]),
    ] {
        assert_eq!(refused_fields(fixture.post(path, &body.to_string())).await, fields, "{path} {body}");
    }
    for path in ["replay/event", "replay/events", "send/test-event"] {
        assert_eq!(refusal(fixture.post(path, "{")).await, (400, "malformed_json".to_owned()), "{path}");
    }
    for (method, path) in [
        (Method::POST, "fetch/events"),
        (Method::POST, "fetch/event"),
        (Method::GET, "replay/event"),
        (Method::PUT, "replay/events"),
        (Method::GET, "send/test-event"),
        (Method::GET, "start/endpoint"),
    ] {
        assert_eq!(refusal(fixture.signed(method, path, "")).await, (405, "method_not_allowed".to_owned()), "{path}");
    }
    assert!(fixture.admin.asked_of_events(&fixture.tenant).is_empty());
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test]
async fn the_admin_services_own_refusals_pass_and_a_lost_answer_says_to_look_first() {
    let fixture = Fixture::start().await;
    let refused_as = async |method: &'static str, error: ApiError, path: &str, body: Value| {
        fixture.admin.break_method(method, error);
        answered(fixture.post(path, &body.to_string())).await
    };
    let odd = ApiError::field("event_type", "must be one of …");
    let (status, body) = refused_as("SendTestEvent", odd, "send/test-event", json!({"event_type": "party"})).await;
    assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("event_type")));
    let gone = || ApiError::new(ErrorCode::StoreUnavailable, "gone");
    let many = json!({"since": "2026-11-26T10:00:00Z", "state": "delivered"});
    for (method, path, body) in [
        ("SendTestEvent", "send/test-event", json!({})),
        ("ReplayEvent", "replay/event", json!({"event_id": EVENT_ID})),
        ("ReplayEvents", "replay/events", many),
    ] {
        let (status, body) = refused_as(method, gone(), path, body).await;
        assert_eq!((status, &body["error_code"]), (503, &json!("directory_unavailable")), "{path}");
        assert!(body["message"].as_str().expect("text").contains("/relay/fetch/events"), "{body}");
    }
}

#[tokio::test]
async fn a_suspended_tenant_reads_and_sends_nothing() {
    let fixture = Fixture::start().await;
    fixture.admin.set(&fixture.tenant, |state| state.set_status(TenantStatus::Suspended));
    for path in ["fetch/events", "fetch/event?event_id=e-1"] {
        assert_eq!(refusal(get(&fixture, path)).await, (403, "tenant_suspended".to_owned()), "{path}");
    }
    for path in ["replay/event", "replay/events", "send/test-event", "start/endpoint"] {
        assert_eq!(refusal(fixture.post(path, "{}")).await, (403, "tenant_suspended".to_owned()), "{path}");
    }
    assert!(fixture.admin.asked_of_events(&fixture.tenant).is_empty());
}

#[tokio::test]
async fn the_tenant_is_the_one_that_signed_whatever_else_is_named() {
    let fixture = Fixture::start().await;
    let other = another(&fixture);
    let named = &fixture.tenant.id;
    let send = |method, path: &str, body: Value| {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        data(other.request(&fixture.client, method, &fixture.url(path), text))
    };
    let events = send(Method::GET, &format!("fetch/events?tenant_id={named}"), Value::Null).await;
    assert_eq!(events["items"][0]["tenant_id"], json!(other.id));
    send(Method::GET, &format!("fetch/event?event_id={EVENT_ID}&tenant_id={named}"), Value::Null).await;
    send(Method::POST, "replay/event", json!({"event_id": EVENT_ID, "tenant_id": named})).await;
    send(
        Method::POST,
        &format!("replay/events?tenant_id={named}"),
        json!({"since": "2026-11-26T10:00:00Z", "state": "parked"}),
    )
    .await;
    send(Method::POST, "send/test-event", json!({"tenant_id": named})).await;
    send(Method::POST, &format!("start/endpoint?tenant_id={named}"), json!({"tenant_id": named})).await;
    assert_eq!(fixture.admin.asked_of_events(&other).len(), 6);
}
