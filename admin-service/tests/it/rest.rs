//! The REST facade, row by row of PROTOCOL.md, section 3, bad input included.

use e2e::world::{ADMIN_KEY, Operator};
use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::support::{Service, sqlite};

macro_rules! snapshot {
    ($answer:expr) => {{
        let (status, body) = $answer;
        assert_eq!(body["status_code"], json!(status), "{body}");
        assert_json_snapshot!(body, {
            ".data.tenant_id" => "[uuid]",
            ".data.tenant_secret" => "[sk]",
            ".data.webhook_secret" => "[whsec]",
            ".data.webhook_public_key" => "[whpk]",
            ".data.widget_public_key" => "[pk]",
            ".data.created_at" => "[time]",
            ".data.updated_at" => "[time]",
            ".data.rotated_at" => "[time]",
            ".data.propagation.waited_ms" => "[milliseconds]",
            ".data.secret_rotated_at" => insta::dynamic_redaction(|value, _| if value.is_nil() { value } else { "[time]".into() }),
            ".data.widget_key_rotated_at" => insta::dynamic_redaction(|value, _| if value.is_nil() { value } else { "[time]".into() }),
            ".data.next_cursor" => insta::dynamic_redaction(|value, _| if value.is_nil() { value } else { "[cursor]".into() }),
            ".data.items[].tenant_id" => "[uuid]",
            ".data.items[].widget_public_key" => "[pk]",
            ".data.items[].created_at" => "[time]",
            ".data.items[].updated_at" => "[time]",
            ".data.items[].audit_id" => "[uuid]",
            ".data.items[].actor" => "[actor]",
            ".data.items[].request_id" => "[uuid]",
            ".data.items[].occurred_at" => "[time]",
            ".request_id" => "[uuid]",
        });
    }};
}

async fn service() -> (Service, Operator) {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    (service, operator)
}

fn by_id(path: &str, id: &str) -> String {
    format!("{path}?tenant_id={id}")
}

#[tokio::test]
async fn provisioning_needs_a_name_alone() {
    let (_service, operator) = service().await;
    let (status, body) =
        operator.call("POST", "/provision/tenant", Some(json!({"tenant_name": "Demo Boutique"}))).await;
    let data = &body["data"];
    assert_eq!(uuid::Uuid::parse_str(data["tenant_id"].as_str().expect("text")).expect("a UUID").get_version_num(), 7);
    assert!(data["tenant_secret"].as_str().is_some_and(|secret| secret.starts_with("sk_") && secret.len() == 46));
    assert!(data["widget_public_key"].as_str().is_some_and(|key| key.starts_with("pk_") && key.len() == 35));
    assert!(data["created_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    snapshot!((status, body));
}

#[tokio::test]
async fn provisioning_takes_every_field() {
    let (_service, operator) = service().await;
    let tenant = operator
        .provision(json!({
            "tenant_name": "Whole", "allowed_origins": ["HTTPS://Shop.Demo.com:443", "https://*.demo.com", "app://bloonio_chat_flutter"],
            "callback_url_base": "https://backend.demo.com/", "rate_limit_per_min": 600, "plan_tier": "pro",
            "stripe_customer_id": "cus_1", "monthly_msg_quota": 50000, "storage_gb_quota": 5, "agent_seats": 25,
            "voice_enabled": true, "video_enabled": true, "file_upload_enabled": false, "multi_channel_enabled": true,
            "branding_display_name": "Demo", "branding_logo_url": "https://demo.com/logo.png",
            "branding_primary_color": "#0055FF"
        }))
        .await;
    snapshot!(operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await);
}

#[tokio::test]
async fn refused_fields_are_all_named_and_nothing_is_written() {
    let (_service, operator) = service().await;
    snapshot!(
        operator
            .call(
                "POST",
                "/provision/tenant",
                Some(json!({
                    "tenant_name": " ", "allowed_origins": ["https://a.com/path"], "rate_limit_per_min": 0,
                    "branding_primary_color": "blue", "tenant_secret": "sk_mine", "nonsense": 1
                }))
            )
            .await
    );
    let (_, page) = operator.call("GET", "/fetch/tenants", None).await;
    assert_eq!(page["data"]["total"], 0);
}

#[tokio::test]
async fn updating_writes_only_the_fields_present() {
    let (_service, operator) = service().await;
    let tenant =
        operator.provision(json!({"tenant_name": "Before", "stripe_customer_id": "cus_1", "agent_seats": 3})).await;
    let body = json!({"plan_tier": "pro", "stripe_customer_id": null, "branding_primary_color": "#0055FF"});
    snapshot!(operator.call("POST", &by_id("/update/tenant", &tenant.id), Some(body)).await);
}

#[tokio::test]
async fn an_update_that_is_refused_writes_nothing() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Kept"})).await;
    let (_, before) = operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await;
    let refused = json!({
        "plan_tier": "pro", "tenant_name": null, "status": "suspended", "widget_public_key": "pk_x",
        "tenant_secret": "sk_x", "unknown": true
    });
    snapshot!(operator.call("POST", &by_id("/update/tenant", &tenant.id), Some(refused)).await);
    let (_, after) = operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await;
    assert_eq!(before["data"], after["data"]);
}

#[tokio::test]
async fn concurrent_updates_of_different_fields_both_stay() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Raced"})).await;
    let path = by_id("/update/tenant", &tenant.id);
    let (one, other) = tokio::join!(
        operator.call("POST", &path, Some(json!({"agent_seats": 7}))),
        operator.call("POST", &path, Some(json!({"plan_tier": "pro"})))
    );
    assert_eq!((one.0, other.0), (200, 200));
    let (_, read) = operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await;
    assert_eq!((&read["data"]["agent_seats"], &read["data"]["plan_tier"]), (&json!(7), &json!("pro")));
}

#[tokio::test]
async fn rotating_the_secret_shows_the_new_one_once() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Rotated"})).await;
    let (status, body) = operator.call("POST", &by_id("/rotate/tenant-secret", &tenant.id), None).await;
    assert!(body["data"]["tenant_secret"].as_str().is_some_and(|secret| secret != tenant.secret && secret.len() == 46));
    snapshot!((status, body));
    let (_, read) = operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await;
    assert!(read["data"]["secret_rotated_at"].is_string() && read["data"].get("tenant_secret").is_none());
}

#[tokio::test]
async fn rotating_the_widget_key_replaces_it() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Rotated"})).await;
    let (status, body) = operator.call("POST", &by_id("/rotate/widget-key", &tenant.id), None).await;
    assert_ne!(body["data"]["widget_public_key"], json!(tenant.widget_public_key));
    let (_, read) = operator.call("GET", &by_id("/fetch/tenant", &tenant.id), None).await;
    assert_eq!(read["data"]["widget_public_key"], body["data"]["widget_public_key"]);
    snapshot!((status, body));
}

#[tokio::test]
async fn suspending_and_reactivating_may_be_repeated() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Paused"})).await;
    for (path, status) in [
        ("/suspend/tenant", "suspended"),
        ("/suspend/tenant", "suspended"),
        ("/reactivate/tenant", "active"),
        ("/reactivate/tenant", "active"),
    ] {
        let (code, body) = operator.call("POST", &by_id(path, &tenant.id), None).await;
        assert_eq!((code, &body["data"]["status"]), (200, &json!(status)), "{path}");
    }
    snapshot!(operator.call("POST", &by_id("/suspend/tenant", &tenant.id), None).await);
}

#[tokio::test]
async fn tenants_are_paged_newest_first() {
    let (_service, operator) = service().await;
    for index in 0..5 {
        operator.provision(json!({"tenant_name": format!("Tenant {index}")})).await;
    }
    let names = |body: &Value| -> Vec<String> {
        body["data"]["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["tenant_name"].as_str().expect("text").to_owned())
            .collect()
    };
    let (_, first) = operator.call("GET", "/fetch/tenants?limit=2", None).await;
    assert_eq!(names(&first), ["Tenant 4", "Tenant 3"]);
    let cursor = first["data"]["next_cursor"].as_str().expect("a cursor");
    let (_, second) = operator.call("GET", &format!("/fetch/tenants?limit=2&cursor={cursor}"), None).await;
    assert_eq!(names(&second), ["Tenant 2", "Tenant 1"]);
    let (_, offset) = operator.call("GET", "/fetch/tenants?limit=2&offset=4", None).await;
    assert_eq!((names(&offset), &offset["data"]["next_cursor"]), (vec!["Tenant 0".to_owned()], &Value::Null));
    let (_, all) = operator.call("GET", "/fetch/tenants", None).await;
    assert_eq!((&all["data"]["limit"], &all["data"]["total"]), (&json!(100), &json!(5)));
    snapshot!((200, first.clone()));
    for refused in [
        "limit=0",
        "limit=501",
        "limit=x",
        "offset=-1",
        "cursor=nonsense",
        &format!("offset=1&cursor={cursor}"),
        "limit=1&limit=2",
    ] {
        let (status, body) = operator.call("GET", &format!("/fetch/tenants?{refused}"), None).await;
        assert_eq!((status, &body["error_code"]), (422, &json!("validation_failed")), "{refused}");
    }
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    let (_service, operator) = service().await;
    let tenant = operator.provision(json!({"tenant_name": "Audited"})).await;
    operator
        .call("POST", &by_id("/update/tenant", &tenant.id), Some(json!({"plan_tier": "pro", "tenant_name": "Audited"})))
        .await;
    for path in [
        "/rotate/tenant-secret",
        "/rotate/widget-key",
        "/revoke/previous-secret",
        "/suspend/tenant",
        "/reactivate/tenant",
    ] {
        operator.call("POST", &by_id(path, &tenant.id), None).await;
    }
    operator.provision(json!({"tenant_name": "Other"})).await;
    let (status, body) = operator.call("GET", &by_id("/fetch/audit-log", &tenant.id), None).await;
    let log = body.to_string();
    assert!(!log.contains("sk_") && !log.contains("pk_"), "never a value: {log}");
    snapshot!((status, body));
    let (_, page) = operator.call("GET", "/fetch/audit-log?limit=3", None).await;
    let cursor = page["data"]["next_cursor"].as_str().expect("more");
    let (_, rest) = operator.call("GET", &format!("/fetch/audit-log?cursor={cursor}"), None).await;
    assert_eq!(rest["data"]["items"].as_array().map(Vec::len), Some(5), "{rest}");
}

#[tokio::test]
async fn without_the_right_key_nothing_is_told() {
    let (service, _) = service().await;
    let client = reqwest::Client::new();
    for (method, path) in [
        ("POST", "provision/tenant"),
        ("POST", "update/tenant"),
        ("POST", "rotate/tenant-secret"),
        ("POST", "rotate/widget-key"),
        ("POST", "revoke/previous-secret"),
        ("POST", "suspend/tenant"),
        ("POST", "reactivate/tenant"),
        ("GET", "fetch/tenant"),
        ("GET", "fetch/tenants"),
        ("GET", "fetch/audit-log"),
    ] {
        let prefix = &ADMIN_KEY[..ADMIN_KEY.len() - 1];
        for key in [None, Some(""), Some("wrong-admin-key-here"), Some(prefix)] {
            let mut request =
                client.request(method.parse().expect("a method"), format!("http://{}/api/v1/{path}", service.rest));
            if let Some(key) = key {
                request = request.header("x-admin-key", key);
            }
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 401, "{method} {path} {key:?}");
            let body: Value = answer.json().await.expect("JSON");
            assert_eq!(body["error_code"], "invalid_admin_key");
            let said = body["message"].as_str().expect("a message");
            let expected =
                if key.is_none_or(str::is_empty) { "No admin key was sent." } else { "that was sent is wrong." };
            assert!(said.contains(expected) && said.contains("X-Admin-Key"), "{key:?}: {said}");
            assert!(!said.contains("metadata"), "{said}");
        }
    }
}

#[tokio::test]
async fn an_unknown_tenant_is_404_and_a_malformed_one_422() {
    let (_service, operator) = service().await;
    let nobody = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f";
    for (method, path) in [
        ("POST", "/update/tenant"),
        ("POST", "/rotate/tenant-secret"),
        ("POST", "/rotate/widget-key"),
        ("POST", "/revoke/previous-secret"),
        ("POST", "/suspend/tenant"),
        ("POST", "/reactivate/tenant"),
        ("GET", "/fetch/tenant"),
    ] {
        let body = (path == "/update/tenant").then(|| json!({"plan_tier": "pro"}));
        let (status, answer) = operator.call(method, &by_id(path, nobody), body.clone()).await;
        assert_eq!((status, &answer["error_code"]), (404, &json!("tenant_not_found")), "{path}");
        for malformed in ["nonsense", "019e4ae71a2b7c3d8e4f5a6b7c8d9e0f", "%00", ""] {
            let (status, answer) = operator.call(method, &by_id(path, malformed), body.clone()).await;
            assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("tenant_id")), "{path} {malformed}");
        }
        let (status, answer) = operator.call(method, path, body).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("tenant_id")), "{path}");
    }
}

#[tokio::test]
async fn bad_bodies_are_told_apart() {
    let (service, operator) = service().await;
    let client = reqwest::Client::new();
    let send = |body: Vec<u8>| {
        let request = client
            .post(format!("http://{}/api/v1/provision/tenant", service.rest))
            .header("x-admin-key", ADMIN_KEY)
            .body(body);
        async move {
            let answer = request.send().await.expect("an answer");
            (
                answer.status().as_u16(),
                answer.json::<Value>().await.expect("JSON")["error_code"].as_str().expect("text").to_owned(),
            )
        }
    };
    for (body, status, code) in [
        (b"{\"tenant_name\": ".to_vec(), 400, "malformed_json"),
        (b"not json".to_vec(), 400, "malformed_json"),
        (b"{\"tenant_name\": \"\xff\"}".to_vec(), 400, "malformed_json"),
        (b"{\"tenant_name\": \"a\", \"tenant_name\": \"b\"} trailing".to_vec(), 400, "malformed_json"),
        ("[".repeat(100_000).into_bytes(), 400, "malformed_json"),
        (b"[]".to_vec(), 422, "validation_failed"),
        (b"null".to_vec(), 422, "validation_failed"),
        (b"".to_vec(), 422, "validation_failed"),
        (b"{\"tenant_name\": \"\\u0000\"}".to_vec(), 422, "validation_failed"),
        (vec![b' '; 300 * 1024], 413, "body_too_large"),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(send(body).await, (status, code.to_owned()), "{shown}");
    }
    let (_, page) = operator.call("GET", "/fetch/tenants", None).await;
    assert_eq!(page["data"]["total"], 0);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_the_envelope() {
    let (service, operator) = service().await;
    snapshot!(operator.call("GET", "/nothing/here", None).await);
    let answer = reqwest::Client::new()
        .get(format!("http://{}/api/v1/provision/tenant", service.rest))
        .send()
        .await
        .expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().expect("text")), (405, "POST"));
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(answer.json::<Value>().await.expect("JSON")["error_code"], "method_not_allowed");
}

#[tokio::test]
async fn a_request_id_is_kept_and_answered() {
    let (service, _) = service().await;
    let get = |id: &'static str| {
        let request = reqwest::Client::new()
            .get(format!("http://{}/api/v1/fetch/tenants", service.rest))
            .header("x-request-id", id);
        async move {
            let answer = request.send().await.expect("an answer");
            let header = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
            (header, answer.json::<Value>().await.expect("JSON")["request_id"].as_str().expect("text").to_owned())
        }
    };
    assert_eq!(get("call-1").await, ("call-1".to_owned(), "call-1".to_owned()));
    let (header, body) = get("forged {line}").await;
    assert!(header == body && header.len() == 36, "{header}");
}

#[tokio::test]
async fn probes_documents_and_keys_need_no_key() {
    let (service, _) = service().await;
    let client = reqwest::Client::new();
    for (path, expected) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/openapi.json", "\"3.1"),
        ("/docs/", "<html"),
        ("/docs/swagger-initializer.js", "\"validatorUrl\": \"none\""),
        ("/.well-known/jwks.json", "Ed25519"),
    ] {
        let answer = client.get(format!("http://{}{path}", service.rest)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        let framing =
            answer.headers().get("content-security-policy").map(|policy| policy.to_str().expect("text").to_owned());
        assert!(path != "/docs/" || framing.as_deref() == Some("frame-ancestors 'none'"), "{framing:?}");
        let text = answer.text().await.expect("text");
        assert!(text.contains(expected), "{path}: {text}");
        assert!(!text.contains("https://cdn") && !text.contains("unpkg"), "{path} loads nothing from outside");
    }
}
