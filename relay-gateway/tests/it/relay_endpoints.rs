//! What the relay answers itself, over gRPC: operators, tokens, tenant info, and contact forms that it checks.

use http::Method;
use serde_json::{Value, json};
use service::ApiError;
use wire::ErrorCode;

use crate::fakes::{Fixture, ok, refusal};

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    assert!(answer.headers().contains_key("ratelimit"), "a call of its own counts like any other");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["status_code"], status);
    (status, body["data"].clone())
}

#[tokio::test]
async fn operators_are_201_when_made_and_200_when_refreshed() {
    let fixture = Fixture::start().await;
    let made = json!({"email": "m@acme.com", "display_name": "M", "routing_keys": ["a"], "avatar_url": null});
    let (status, data) = answered(fixture.post("provision/operator", &made.to_string())).await;
    assert_eq!(
        (status, &data["created"], &data["routing_keys"], &data["tenant_id"]),
        (201, &json!(true), &json!(["a"]), &json!(fixture.tenant.id))
    );
    let refreshed = json!({"email": "m@acme.com", "display_name": "M2", "routing_keys": null, "avatar_url": null});
    let (status, data) = answered(fixture.post("provision/operator", &refreshed.to_string())).await;
    assert_eq!((status, &data["created"], &data["display_name"]), (200, &json!(false), &json!("M2")));
}

#[tokio::test]
async fn tokens_have_the_clients_shape() {
    let fixture = Fixture::start().await;
    let (status, data) = answered(fixture.post("fetch/operator-token", r#"{"email":"m@acme.com"}"#)).await;
    assert_eq!((status, &data["operator_token"], &data["operator_id"]), (200, &json!("jwt"), &json!("op-1")));
    assert!(data["expires_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    let (status, data) =
        answered(fixture.post("mint/visitor-token", r#"{"visitor_user_id":"u","ttl_seconds":61}"#)).await;
    assert_eq!((status, &data["token"]), (201, &json!("61")));
    let (_, data) = answered(fixture.post("mint/visitor-token", r#"{"visitor_user_id":"u"}"#)).await;
    assert_eq!(data["token"], "3600", "an hour unless told otherwise");
}

#[tokio::test]
async fn tenant_info_is_the_callers_own() {
    let fixture = Fixture::start().await;
    let (status, data) = answered(fixture.signed(Method::GET, "fetch/tenant-info", "")).await;
    assert_eq!((status, &data["tenant_id"], &data["agent_seats"]), (200, &json!(fixture.tenant.id), &json!(3)));
}

#[tokio::test]
async fn bad_fields_are_named_and_reach_nobody() {
    let fixture = Fixture::start().await;
    for (path, body, fields) in [
        ("provision/operator", r#"{"email":7,"routing_keys":[""]}"#, vec!["email", "display_name", "routing_keys"]),
        ("fetch/operator-token", "", vec!["email"]),
        ("mint/visitor-token", r#"{"visitor_user_id":" ","ttl_seconds":59}"#, vec!["visitor_user_id", "ttl_seconds"]),
        ("mint/visitor-token", r#"{"visitor_user_id":"u","ttl_seconds":86401}"#, vec!["ttl_seconds"]),
        (
            "create/contact-ticket",
            r#"{"customer_email":"x","subject":"s","message":"m","metadata":[]}"#,
            vec!["customer_email", "customer_name", "metadata"],
        ),
    ] {
        let answer = fixture.post(path, body).send().await.expect("an answer");
        assert_eq!(answer.status(), 422, "{path}");
        let answer: Value = answer.json().await.expect("JSON");
        let named: Vec<_> = answer["errors"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|error| error["field"].as_str().expect("text"))
            .collect();
        assert_eq!(named, fields, "{path} {body}");
    }
    for (path, body) in [("provision/operator", "{"), ("create/contact-ticket", "nonsense")] {
        assert_eq!(refusal(fixture.post(path, body)).await, (400, "malformed_json".to_owned()));
    }
    let calls = fixture.admin.calls();
    assert!(calls.iter().all(|call| call == "GetTenant"), "{calls:?}");
    assert_eq!(fixture.backend.count(), 0);
}

#[tokio::test]
async fn a_good_contact_form_goes_to_the_backend_as_it_came() {
    let fixture = Fixture::start().await;
    fixture.backend.answers(|_| ok("{}"));
    let body = r#"{"customer_email":"a@b.c","customer_name":"N","subject":"S","message":"M","company":null,"extra":1}"#;
    assert_eq!(fixture.post("create/contact-ticket", body).send().await.expect("an answer").status(), 200);
    let arrived = fixture.backend.last();
    assert_eq!((arrived.path_and_query.as_str(), arrived.body.as_ref()), ("/create/contact-ticket", body.as_bytes()));
}

#[tokio::test]
async fn the_admin_services_own_refusals_pass_and_its_trouble_is_503() {
    let fixture = Fixture::start().await;
    let refused_as = async |error: ApiError, body: &str| {
        fixture.admin.break_method("IssueOperatorToken", error);
        let answer = fixture.post("fetch/operator-token", body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON"))
    };
    let (status, body) = refused_as(ApiError::new(ErrorCode::OperatorNotFound, "none"), r#"{"email":"a@b.c"}"#).await;
    assert_eq!((status, &body["error_code"]), (404, &json!("operator_not_found")));
    let said = body["message"].as_str().expect("a message");
    assert!(
        said.contains("POST /api/v1/relay/provision/operator"),
        "the gateway advises in its own interface's words: {said}"
    );
    let (status, body) = refused_as(ApiError::field("email", "odd"), r#"{"email":"b@b.c"}"#).await;
    assert_eq!((status, &body["errors"]), (422, &json!([{"field": "email", "message": "odd"}])));
    let (status, body) = refused_as(ApiError::new(ErrorCode::StoreUnavailable, "gone"), r#"{"email":"c@b.c"}"#).await;
    assert_eq!((status, &body["error_code"]), (503, &json!("directory_unavailable")));
    let (status, body) = refused_as(ApiError::internal("a detail"), r#"{"email":"d@b.c"}"#).await;
    assert_eq!((status, &body["error_code"]), (500, &json!("internal_error")));
    assert!(!body.to_string().contains("a detail"));
}

#[tokio::test]
async fn the_key_set_is_fetched_once_and_a_failure_is_not_kept_for_long() {
    let fixture = Fixture::leased().await;
    let keys = async || {
        let url = format!("http://{}/.well-known/jwks.json", fixture.relay);
        let answer = fixture.client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().expect("text").to_owned())
    };
    fixture.admin.break_method("GetSigningKeys", ApiError::new(ErrorCode::StoreUnavailable, "gone"));
    assert_eq!(keys().await.0, 503);
    fixture.admin.mend();
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    while keys().await != (200, "application/jwk-set+json".to_owned()) {
        assert!(std::time::Instant::now() < deadline, "it does not ask again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let asked = || fixture.admin.calls().iter().filter(|call| *call == "GetSigningKeys").count();
    let before = asked();
    assert_eq!((keys().await.0, asked()), (200, before));
}
