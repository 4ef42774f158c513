//! The API reference is generated from the code. The golden file must change in the same commit, and must say what is answered.

use e2e::{
    openapi::{Comparison, assert_golden},
    world::ADMIN_KEY,
};
use serde_json::{Value, json};

use crate::support::{Service, sqlite};

#[test]
fn the_document_is_the_golden_one() {
    let document = admin_service::openapi().to_pretty_json().expect("serializes");
    assert_golden(env!("CARGO_MANIFEST_DIR"), "admin-service", &document);
}

#[test]
fn every_path_is_documented() {
    let document = serde_json::to_value(admin_service::openapi()).expect("serializes");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for (method, path) in [
        ("post", "/api/v1/provision/tenant"),
        ("post", "/api/v1/update/tenant"),
        ("post", "/api/v1/rotate/tenant-secret"),
        ("post", "/api/v1/rotate/widget-key"),
        ("post", "/api/v1/revoke/previous-secret"),
        ("post", "/api/v1/suspend/tenant"),
        ("post", "/api/v1/reactivate/tenant"),
        ("get", "/api/v1/fetch/tenant"),
        ("get", "/api/v1/fetch/tenants"),
        ("get", "/api/v1/fetch/access-log"),
        ("get", "/api/v1/fetch/audit-log"),
        ("post", "/api/v1/rotate/signing-key"),
        ("get", "/api/v1/fetch/signing-keys"),
        ("post", "/api/v1/retire/signing-key"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(operation["responses"]["401"].is_object(), "{method} {path}: {operation}");
    }
    let new_tenant = &document["components"]["schemas"]["NewTenant"];
    assert_eq!(new_tenant["required"], serde_json::json!(["tenant_name"]));
    assert_eq!(new_tenant["additionalProperties"], serde_json::json!(false));
}

/// A caller with both credentials, whose calls are held against the document.
struct Caller {
    base: String,
    admin_key: String,
    account_key: String,
    comparison: Comparison,
}

impl Caller {
    async fn call(&mut self, method: &str, path: &str, query: &str, body: Option<Value>) -> (u16, Value) {
        let (template, path) = match path.strip_prefix("/widgets/keys/") {
            Some(_) => ("/api/v1/widgets/keys/{id}".to_owned(), path),
            None => (format!("/api/v1{path}"), path),
        };
        let client = reqwest::Client::new();
        let mut request = client
            .request(method.parse().expect("a method"), format!("{}{path}{query}", self.base))
            .header("x-admin-key", &self.admin_key)
            .header("authorization", format!("Bearer {}", self.account_key));
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let answered: Value = answer.json().await.expect("JSON");
        self.comparison.note(method, &template, body.as_ref(), status, &answered);
        (status, answered)
    }

    async fn all(&mut self, method: &str, path: &str, query: &str, bodies: impl IntoIterator<Item = Value>) {
        for body in bodies {
            self.call(method, path, query, Some(body)).await;
        }
    }
}

/// The calls on events, for a tenant without a callback and then with one.
async fn events(calls: &mut Caller, query: &str, unknown: &str, id: &str) {
    calls.call("POST", "/update/tenant", query, Some(json!({"callback_url_base": null}))).await;
    calls.call("POST", "/send/test-event", query, Some(json!({}))).await;
    calls.call("POST", "/start/endpoint", query, None).await;
    calls.call("POST", "/update/tenant", query, Some(json!({"callback_url_base": "https://a.com"}))).await;
    let (_, sent) = calls.call("POST", "/send/test-event", query, Some(json!({}))).await;
    let event = format!("{query}&event_id={}", sent["data"]["event"]["event_id"].as_str().expect("an id"));
    for body in [json!({"event_type": "ticket_created"}), json!({"event_type": "bored"}), json!({"event_type": 1})] {
        calls.call("POST", "/send/test-event", query, Some(body)).await;
    }
    calls.call("POST", "/send/test-event", unknown, Some(json!({}))).await;
    for path in ["/fetch/event", "/replay/event"] {
        let method = if path == "/fetch/event" { "GET" } else { "POST" };
        for query in [event.as_str(), &format!("{query}&event_id=x"), query, ""] {
            calls.call(method, path, query, None).await;
        }
    }
    for query in
        [query, unknown, "", "?state=parked&event_type=ticket_created&since=2026-11-26T10:00:00Z&limit=1", "?state=x"]
    {
        calls.call("GET", "/fetch/events", query, None).await;
    }
    let wanted = |state: &str| json!({"tenant_id": id, "state": state, "since": "2026-11-26T10:00:00Z"});
    calls.all("POST", "/replay/events", "", [wanted("parked"), wanted("pending"), json!({"tenant_id": 1})]).await;
    for query in [query, unknown, ""] {
        calls.call("POST", "/start/endpoint", query, None).await;
    }
}

#[tokio::test]
async fn what_is_answered_is_what_is_documented() {
    let service = Service::start(sqlite()).await;
    let mut calls = Caller {
        base: format!("http://{}/api/v1", service.rest),
        admin_key: ADMIN_KEY.to_owned(),
        account_key: "none".to_owned(),
        comparison: Comparison::new(serde_json::to_value(admin_service::openapi()).expect("serializes")),
    };
    let long = |length: usize| "x".repeat(length);
    let fields = [
        ("tenant_name", vec![json!("A"), json!(long(200)), json!(""), json!(long(201)), json!(null), json!(1)]),
        (
            "allowed_origins",
            vec![
                json!([]),
                json!(["https://a.com"]),
                json!(null),
                json!("https://a.com"),
                json!([1]),
                json!(vec!["https://a.com"; 101]),
            ],
        ),
        (
            "callback_url_base",
            vec![json!("https://a.com/b"), json!(null), json!("ftp://a.com"), json!("https://a.com?x=1"), json!("")],
        ),
        ("rate_limit_per_min", vec![json!(1), json!(6_000_000), json!(0), json!(6_000_001), json!("60"), json!(1.5)]),
        ("plan_tier", vec![json!("pro"), json!(""), json!("Pro"), json!(long(51))]),
        ("stripe_customer_id", vec![json!("cus_1"), json!(null), json!(long(256)), json!("")]),
        ("monthly_msg_quota", vec![json!(0), json!(-1), json!(9_007_199_254_740_992_i64)]),
        ("voice_enabled", vec![json!(true), json!("true"), json!(null)]),
        ("branding_display_name", vec![json!("B"), json!(null), json!(""), json!(long(201))]),
        ("branding_logo_url", vec![json!("https://a.com/l.png"), json!(null), json!("http://a.com/l.png")]),
        ("branding_primary_color", vec![json!("#0055FF"), json!(null), json!("red")]),
        ("invented", vec![json!(1)]),
    ];
    let (_, made) = calls.call("POST", "/provision/tenant", "", Some(json!({"tenant_name": "Acme"}))).await;
    let id = made["data"]["tenant_id"].as_str().expect("an id").to_owned();
    let (query, unknown) = (format!("?tenant_id={id}"), "?tenant_id=019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f");
    calls.call("POST", "/provision/tenant", "", Some(json!({}))).await;
    for (field, values) in fields {
        for value in values {
            let mut body = json!({"tenant_name": "Acme"});
            body[field] = value.clone();
            calls.call("POST", "/provision/tenant", "", Some(body)).await;
            calls.call("POST", "/update/tenant", &query, Some(json!({field: value}))).await;
        }
    }
    for (method, path) in [
        ("POST", "/rotate/tenant-secret"),
        ("POST", "/rotate/widget-key"),
        ("POST", "/revoke/previous-secret"),
        ("POST", "/suspend/tenant"),
        ("POST", "/reactivate/tenant"),
        ("GET", "/fetch/tenant"),
        ("GET", "/fetch/account-keys"),
    ] {
        for query in [&*query, unknown, "?tenant_id=x", ""] {
            calls.call(method, path, query, None).await;
        }
    }
    for query in ["", "?limit=2", "?limit=0", "?cursor=x"] {
        calls.call("GET", "/fetch/tenants", query, None).await;
        calls.call("GET", "/fetch/audit-log", query, None).await;
        calls.call("GET", "/fetch/access-log", query, None).await;
    }
    events(&mut calls, &query, unknown, &id).await;
    let (_, keys) = calls.call("GET", "/fetch/signing-keys", "", None).await;
    let first = keys["data"]["items"][0]["signing_key_id"].as_str().expect("an id").to_owned();
    for query in ["", "?signs_after_seconds=86400", "?signs_after_seconds=86401", "?signs_after_seconds=0"] {
        calls.call("POST", "/rotate/signing-key", query, None).await;
    }
    for id in [&*first, &*first, "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "x"] {
        calls.call("POST", "/retire/signing-key", &format!("?signing_key_id={id}"), None).await;
    }
    for _ in 0..8 {
        calls.call("POST", "/rotate/signing-key", "", None).await;
    }
    // With keys of every state but one, and an audit log with rows of no tenant.
    for (key, path) in
        [(ADMIN_KEY, "/fetch/signing-keys"), (ADMIN_KEY, "/fetch/audit-log"), ("wrong", "/fetch/signing-keys")]
    {
        calls.admin_key = key.to_owned();
        calls.call("GET", path, "", None).await;
    }
    ADMIN_KEY.clone_into(&mut calls.admin_key);
    let new = |name: Value, abilities: Value| json!({"name": name, "abilities": abilities});
    let (_, made) = calls.call("POST", "/create/account-key", &query, Some(new(json!("CI"), json!(["*"])))).await;
    for query in [&*query, unknown] {
        let names =
            [json!("CI"), json!(""), json!(long(101)), json!(null)].map(|name| new(name, json!(["widgets:read"])));
        calls.all("POST", "/create/account-key", query, names).await;
        calls
            .all("POST", "/create/account-key", query, [new(json!("CI"), json!([])), new(json!("CI"), json!("*"))])
            .await;
    }
    // Without a valid key first: that, too, is documented.
    for (method, path) in [
        ("GET", "/bots"),
        ("POST", "/bots"),
        ("GET", "/widgets/keys"),
        ("POST", "/widgets/keys"),
        ("GET", "/widgets/customization"),
        ("PUT", "/widgets/customization"),
        ("GET", "/widgets/embed-code"),
        ("DELETE", "/widgets/keys/x"),
    ] {
        calls.call(method, path, "", None).await;
    }
    calls.account_key = made["data"]["account_key"].as_str().expect("text").to_owned();
    let (_, bot) = calls.call("POST", "/bots", "", Some(json!({"name": "Bot"}))).await;
    calls.all("POST", "/bots", "", [json!({}), json!({"name": ""}), json!({"name": long(101)})]).await;
    calls.call("GET", "/bots", "", None).await;
    let bot = bot["data"]["bot_id"].as_str().expect("an id").to_owned();
    let key = |field: &str, value: Value| {
        let mut body = json!({"bot_id": bot, "name": "Key"});
        body[field] = value;
        body
    };
    let (_, made) = calls.call("POST", "/widgets/keys", "", Some(key("name", json!("Key")))).await;
    let key_id = made["data"]["id"].as_str().expect("an id").to_owned();
    let bodies = [
        key("allowed_domains", json!(["a.com"])),
        key("allowed_domains", json!(vec!["a.com"; 101])),
        key("rate_limit_per_hour", json!(0)),
        key("rate_limit_per_hour", json!(1_000_001)),
        key("name", json!("")),
        key("name", json!(null)),
    ];
    calls.all("POST", "/widgets/keys", "", bodies).await;
    calls.call("POST", "/widgets/keys", "", Some(key("bot_id", json!("019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f")))).await;
    for query in [&*format!("?bot_id={bot}"), "?bot_id=019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "?bot_id=x"] {
        for path in ["/widgets/keys", "/widgets/customization"] {
            calls.call("GET", path, query, None).await;
        }
        calls.call("GET", "/widgets/embed-code", &format!("{query}&api_key_id={key_id}"), None).await;
    }
    for (field, values) in [
        ("theme_color", vec![json!("#112233"), json!("red"), json!(null)]),
        ("position", vec![json!("bottom-left"), json!("top"), json!(null)]),
        ("greeting_text", vec![json!("Hi"), json!(""), json!(null), json!(long(201))]),
        ("welcome_message", vec![json!("Hi"), json!(null), json!(long(1001))]),
        ("avatar_url", vec![json!("https://a.com/a.png"), json!(null), json!("http://a.com/a.png")]),
        ("show_branding", vec![json!(false), json!(null), json!("no")]),
        ("widget_title", vec![json!("T"), json!(null), json!(long(101))]),
        ("placeholder_text", vec![json!("P"), json!(null), json!(long(101))]),
        ("starters", vec![json!(["S"]), json!([]), json!(null), json!(["1", "2", "3", "4", "5", "6", "7"])]),
    ] {
        for value in values {
            let body = json!({"bot_id": bot, field: value});
            calls.call("PUT", "/widgets/customization", "", Some(body)).await;
        }
    }
    calls.call("PUT", "/widgets/customization", "", Some(json!({"theme_color": "#112233"}))).await;
    for id in [&*key_id, &*key_id, "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "x"] {
        calls.call("DELETE", &format!("/widgets/keys/{id}"), "", None).await;
    }
    let (_, list) = calls.call("GET", "/fetch/account-keys", &query, None).await;
    let account_key = list["data"]["items"][0]["account_key_id"].as_str().expect("an id").to_owned();
    for id in [&*account_key, "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "x"] {
        calls.call("POST", "/revoke/account-key", &format!("{query}&account_key_id={id}"), None).await;
        calls.call("POST", "/revoke/account-key", &format!("{unknown}&account_key_id={id}"), None).await;
    }
    let admin_key = |name: &str, scopes: serde_json::Value| json!({"name": name, "scopes": scopes});
    let bodies = [
        json!({"name": "CI", "scopes": ["audit:read"], "expires_at": "2100-01-01T00:00:00Z"}),
        admin_key("", json!(["audit:read"])),
        admin_key(&long(101), json!(["audit:read"])),
        admin_key("CI", json!([])),
        admin_key("CI", json!(["everything"])),
    ];
    calls.all("POST", "/create/admin-key", "", bodies).await;
    let (_, made) = calls.call("POST", "/create/admin-key", "", Some(admin_key("CI", json!(["audit:read"])))).await;
    let admin_key = made["data"]["admin_key_id"].as_str().expect("an id").to_owned();
    calls.call("GET", "/fetch/admin-keys", "", None).await;
    calls.admin_key = made["data"]["admin_key"].as_str().expect("its text").to_owned();
    calls.call("GET", "/fetch/admin-keys", "", None).await;
    ADMIN_KEY.clone_into(&mut calls.admin_key);
    for id in [&*admin_key, "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "x"] {
        calls.call("POST", "/revoke/admin-key", &format!("?admin_key_id={id}"), None).await;
    }
    // tests/python/test_events.py publishes as a chat backend does.
    calls.comparison.finish(&["/internal/publish/events"]);
}
