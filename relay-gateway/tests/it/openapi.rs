//! The API reference is the code's: the golden file changes with it, and in the same commit.

use e2e::openapi::Comparison;
use serde_json::{Value, json};

use crate::fakes::{EVENT_ID, Fixture};

#[test]
fn the_document_is_the_golden_one() {
    let document = relay_gateway::openapi().to_pretty_json().expect("serializes");
    e2e::openapi::assert_golden(env!("CARGO_MANIFEST_DIR"), "relay-gateway", &document);
}

#[test]
fn every_path_is_documented() {
    let document = serde_json::to_value(relay_gateway::openapi()).expect("serializes");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for (method, path, answers) in [
        ("post", "/api/v1/create/visitor-session", ["201", "403"]),
        ("get", "/api/v1/fetch/widget-config", ["200", "403"]),
        ("post", "/api/v1/refresh/visitor-token", ["200", "401"]),
        ("post", "/api/v1/end/visitor-session", ["200", "401"]),
        ("get", "/api/v1/ws/widget", ["101", "426"]),
        ("get", "/widget.js", ["200", "304"]),
        ("get", "/api/v1/widget/texts/{file}", ["200", "404"]),
        ("get", "/inbox", ["200", "304"]),
        ("post", "/api/v1/relay/provision/operator", ["201", "422"]),
        ("post", "/api/v1/relay/fetch/operator-token", ["200", "404"]),
        ("post", "/api/v1/relay/mint/visitor-token", ["201", "409"]),
        ("post", "/api/v1/relay/revoke/visitor", ["200", "503"]),
        ("get", "/api/v1/relay/fetch/tenant-info", ["200", "401"]),
        ("get", "/api/v1/relay/fetch/events", ["200", "410"]),
        ("get", "/api/v1/relay/fetch/event", ["200", "404"]),
        ("post", "/api/v1/relay/replay/event", ["200", "404"]),
        ("post", "/api/v1/relay/replay/events", ["200", "422"]),
        ("post", "/api/v1/relay/send/test-event", ["200", "409"]),
        ("post", "/api/v1/relay/start/endpoint", ["200", "503"]),
        ("post", "/api/v1/relay/create/contact-ticket", ["201", "413"]),
        ("get", "/api/v1/relay/{rest}", ["default", "502"]),
        ("post", "/api/v1/relay/{rest}", ["default", "504"]),
    ] {
        let operation = &document["paths"][path][method];
        for answer in answers {
            assert!(operation["responses"][answer].is_object(), "{method} {path} {answer}: {operation}");
        }
    }
    let new_session = &document["components"]["schemas"]["NewSession"];
    assert_eq!(new_session["required"], serde_json::json!(["tenant_id", "widget_public_key", "origin"]));
}

#[test]
fn the_signed_lane_is_documented_with_its_headers_and_every_refusal() {
    let document = serde_json::to_value(relay_gateway::openapi()).expect("serializes");
    let schemes = &document["components"]["securitySchemes"];
    let signed =
        document["paths"].as_object().expect("paths").iter().filter(|(path, _)| path.starts_with("/api/v1/relay/"));
    let mut operations = 0;
    for (path, item) in signed {
        for (method, operation) in item.as_object().expect("an item") {
            operations += 1;
            let required = operation["security"][0].as_object().expect("a requirement");
            let mut headers: Vec<_> = required.keys().filter_map(|scheme| schemes[scheme]["name"].as_str()).collect();
            headers.sort_unstable();
            assert_eq!(
                headers,
                ["X-Bloonio-Signature", "X-Bloonio-Tenant-Id", "X-Bloonio-Timestamp"],
                "{method} {path}: they are needed together"
            );
            let text = operation["responses"].to_string();
            for code in [
                "missing_signature_headers",
                "malformed_signature_headers",
                "timestamp_out_of_window",
                "invalid_signature",
                "tenant_suspended",
                "replayed_request",
                "body_too_large",
                "rate_limited",
                "directory_unavailable",
                "backend_unreachable",
                "backend_timeout",
                "backend_bad_response",
                "overloaded",
                "validation_failed",
                "method_not_allowed",
                "request_timeout",
                "malformed_request",
                "feature_disabled",
            ] {
                let code = wire::ErrorCode::from_wire(code).expect("a code");
                let status = code.statuses().0.as_u16().to_string();
                let said = operation["responses"][&status]["description"].as_str().unwrap_or_default();
                assert!(said.contains(&format!("`{}`", code.as_str())), "{method} {path} {status}: {text}");
            }
        }
    }
    assert!(operations >= 8, "{operations}");
}

#[test]
fn a_document_names_no_code_that_does_not_exist() {
    let document = serde_json::to_value(relay_gateway::openapi()).expect("serializes");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("an item").values() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let text = response["description"].as_str().unwrap_or_default();
                let named = text.split('`').skip(1).step_by(2).filter(|word| word.contains('_'));
                for code in named.filter_map(wire::ErrorCode::from_wire) {
                    assert_eq!(code.statuses().0.as_str(), status, "{path}: {}", code.as_str());
                }
            }
        }
    }
}

#[tokio::test]
async fn calls_of_events_are_answered_as_documented() {
    const CALLS: [&str; 6] =
        ["fetch/events", "fetch/event", "replay/event", "replay/events", "send/test-event", "start/endpoint"];
    let mut document = serde_json::to_value(relay_gateway::openapi()).expect("serializes");
    let documented = CALLS.map(|call| format!("/api/v1/relay/{call}"));
    document["paths"].as_object_mut().expect("paths").retain(|path, _| documented.contains(path));
    let mut comparison = Comparison::new(document);
    let fixture = Fixture::start().await;
    let since = "2026-11-26T10:00:00Z";
    for (method, call, query, body) in [
        ("GET", "fetch/events", "", None),
        ("GET", "fetch/events", "?cursor=1", None),
        ("GET", "fetch/events", "?limit=0", None),
        ("GET", "fetch/event", "?event_id=e-1", None),
        ("GET", "fetch/event", "?event_id=e-2", None),
        ("POST", "replay/event", "", Some(json!({"event_id": EVENT_ID}))),
        ("POST", "replay/event", "", Some(json!({"event_id": "e-2"}))),
        ("POST", "replay/event", "", Some(json!({"event_id": ""}))),
        ("POST", "replay/events", "", Some(json!({"since": since, "until": null, "state": "delivered"}))),
        ("POST", "replay/events", "", Some(json!({"since": since, "state": "pending"}))),
        ("POST", "replay/events", "", Some(json!({"since": "now", "state": "parked"}))),
        ("POST", "send/test-event", "", Some(json!({"event_type": "agent_released"}))),
        ("POST", "send/test-event", "", Some(json!({"event_type": 1}))),
        ("POST", "start/endpoint", "", Some(json!({}))),
        ("POST", "start/endpoint", "", Some(json!([]))),
    ] {
        let text = body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = fixture.signed(method.parse().expect("a method"), &format!("{call}{query}"), &text);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let answer = answer.json().await.expect("JSON");
        let body = body.filter(|_| call != "start/endpoint");
        comparison.note(method, &format!("/api/v1/relay/{call}"), body.as_ref(), status, &answer);
    }
    comparison.finish(&[]);
}
