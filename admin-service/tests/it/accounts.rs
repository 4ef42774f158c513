//! Account keys and what they open: made by operators, used by a tenant's developers.

use std::time::{Duration, Instant};

use e2e::world::Operator;
use serde_json::{Value, json};

use crate::support::{Service, sqlite};

/// A developer with an account key, or with whatever else.
struct Developer {
    base: String,
    authorization: Vec<String>,
}

impl Developer {
    fn with(service: &Service, key: &str) -> Self {
        Self { base: format!("http://{}/api/v1", service.rest), authorization: vec![format!("Bearer {key}")] }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let client = reqwest::Client::new();
        let mut request = client.request(method.parse().expect("a method"), format!("{}{path}", self.base));
        for value in &self.authorization {
            request = request.header("authorization", value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn code(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.call(method, path, body).await;
        (status, body["error_code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn tenant(operator: &Operator) -> String {
    operator.provision(json!({"tenant_name": "Acme"})).await.id
}

/// Makes a key and answers it and its id.
async fn key(operator: &Operator, tenant: &str, fields: Value) -> (String, String) {
    let (status, answer) =
        operator.call("POST", &format!("/create/account-key?tenant_id={tenant}"), Some(fields)).await;
    assert_eq!(status, 201, "{answer}");
    let text = |field: &str| answer["data"][field].as_str().expect("text").to_owned();
    (text("account_key"), text("account_key_id"))
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_key_is_shown_once_listed_without_its_text_and_revoked() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = tenant(&operator).await;
    let (text, id) = key(&operator, &tenant, json!({"name": "CI", "abilities": ["widgets:read"]})).await;
    assert!(text.starts_with("ak_") && text.len() == 46);
    let list = async || {
        let (status, list) = operator.call("GET", &format!("/fetch/account-keys?tenant_id={tenant}"), None).await;
        assert_eq!(status, 200);
        list["data"]["items"].as_array().expect("a list").clone()
    };
    let listed = list().await;
    assert_eq!(listed.len(), 1);
    assert!(!json!(listed).to_string().contains(&text[3..]), "its text is nowhere");
    assert_eq!(
        (&listed[0]["account_key_id"], &listed[0]["name"], &listed[0]["abilities"], &listed[0]["hint"]),
        (&json!(id), &json!("CI"), &json!(["widgets:read"]), &json!(text[42..]))
    );
    for field in ["expires_at", "revoked_at", "last_used_at"] {
        assert_eq!(listed[0][field], Value::Null);
    }

    let developer = Developer::with(&service, &text);
    assert_eq!(developer.call("GET", "/bots", None).await.0, 200);
    let revoke = format!("/revoke/account-key?tenant_id={tenant}&account_key_id={id}");
    for _ in 0..2 {
        let (status, revoked) = operator.call("POST", &revoke, None).await;
        assert!(status == 200 && revoked["data"]["revoked_at"].is_string(), "{revoked}");
        assert_eq!(developer.code("GET", "/bots", None).await, refused(401, "invalid_account_key"));
    }
    // When it was last used comes to be known when the service has a moment, and at the latest when it stops.
    let database = service.stop().await;
    let service = Service::start(database).await;
    let (_, list) = service.operator().call("GET", &format!("/fetch/account-keys?tenant_id={tenant}"), None).await;
    let used = list["data"]["items"][0]["last_used_at"].as_str().expect("a time").to_owned();
    assert!(used.ends_with(":00.000Z"), "to the minute: {used}");
}

#[tokio::test]
async fn what_is_no_valid_key_is_refused_with_one_answer() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = tenant(&operator).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let (expiring, _) =
        key(&operator, &tenant, json!({"name": "Soon", "abilities": ["*"], "expires_at": soon.to_string()})).await;
    let (valid, _) = key(&operator, &tenant, json!({"name": "Valid", "abilities": ["*"]})).await;
    let developer = Developer::with(&service, &expiring);
    assert_eq!(developer.call("GET", "/bots", None).await.0, 200);
    let deadline = Instant::now() + Duration::from_secs(20);
    while developer.code("GET", "/bots", None).await != refused(401, "invalid_account_key") {
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let secret = operator.provision(json!({"tenant_name": "Other"})).await.secret;
    for wrong in [
        vec![],
        vec![format!("Bearer {}", valid.replace("ak_", "sk_"))],
        vec![format!("Bearer {secret}")],
        vec![format!("Bearer {valid}x")],
        vec![format!("Bearer ak_{}", "A".repeat(43))],
        vec![format!("Bearer {}", "A".repeat(10_000))],
        vec![format!("Basic {valid}")],
        vec![valid.clone()],
        vec![format!("Bearer {valid}"), format!("Bearer {valid}")],
    ] {
        let developer = Developer { authorization: wrong.clone(), ..Developer::with(&service, "") };
        assert_eq!(developer.code("GET", "/bots", None).await, refused(401, "invalid_account_key"), "{wrong:?}");
    }
    for (sent, said) in [(vec![], "No account key was sent."), (vec!["Bearer ak_wrong".to_owned()], "is not valid")] {
        let (_, body) =
            Developer { authorization: sent, ..Developer::with(&service, "") }.call("GET", "/bots", None).await;
        assert!(body["message"].as_str().is_some_and(|text| text.contains(said)), "{body}");
    }
    // An operator's key is no account key, nor the other way round.
    let (status, body) = operator.call("GET", "/bots", None).await;
    assert_eq!((status, &body["error_code"]), (401, &json!("invalid_account_key")));
    let developer = Developer::with(&service, &valid);
    let path = format!("/fetch/account-keys?tenant_id={tenant}");
    assert_eq!(developer.code("GET", &path, None).await, refused(401, "invalid_admin_key"));
}

#[tokio::test]
async fn a_key_opens_what_its_abilities_say_and_its_own_tenant_alone() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let (tenant_id, other) = (tenant(&operator).await, tenant(&operator).await);
    let developer = async |tenant: &str, ability: &str| {
        let (text, id) = key(&operator, tenant, json!({"name": ability, "abilities": [ability]})).await;
        (Developer::with(&service, &text), id)
    };
    let (reader, _) = developer(&tenant_id, "widgets:read").await;
    let (writer, writer_id) = developer(&tenant_id, "widgets:write").await;
    let (both, _) = developer(&tenant_id, "widgets:*").await;
    let (elsewhere, _) = developer(&other, "*").await;
    let bot = || Some(json!({"name": "Sales"}));

    let (status, body) = reader.call("POST", "/bots", bot()).await;
    assert_eq!((status, &body["message"]), (403, &json!("Missing ability: widgets:write")));
    assert_eq!(writer.code("GET", "/bots", None).await, refused(403, "missing_ability"));
    let (status, made) = writer.call("POST", "/bots", bot()).await;
    assert_eq!((status, &made["data"]["name"], &made["data"]["is_default"]), (201, &json!("Sales"), &json!(false)));
    for developer in [&reader, &both] {
        let (_, list) = developer.call("GET", "/bots", None).await;
        let names: Vec<_> = list["data"]["items"].as_array().expect("a list").iter().map(|bot| &bot["name"]).collect();
        assert_eq!(names, [&json!("Default"), &json!("Sales")], "the default one first");
    }
    let (_, list) = elsewhere.call("GET", "/bots", None).await;
    assert_eq!(list["data"]["items"].as_array().map(Vec::len), Some(1), "another tenant's are not shown");
    let path = format!("/fetch/audit-log?tenant_id={tenant_id}&limit=1");
    let (_, log) = operator.call("GET", &path, None).await;
    let row = &log["data"]["items"][0];
    assert_eq!((&row["action"], &row["actor"]), (&json!("create_bot"), &json!(format!("account_key:{writer_id}"))));
    let subject = json!(format!("bot:{}", made["data"]["bot_id"].as_str().expect("an id")));
    assert_eq!((&row["subject"], &row["changed_fields"]), (&subject, &json!(["name"])));

    for wrong in [json!({}), json!({"name": " "}), json!({"name": 7}), json!({"name": "n".repeat(101)})] {
        let (status, body) = both.call("POST", "/bots", Some(wrong.clone())).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("name")), "{wrong}");
    }
    operator.call("POST", &format!("/suspend/tenant?tenant_id={tenant_id}"), None).await;
    assert_eq!(reader.code("GET", "/bots", None).await, refused(403, "tenant_suspended"));
}

#[tokio::test]
async fn bad_input_is_named_and_writes_nothing() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = tenant(&operator).await;
    let create = format!("/create/account-key?tenant_id={tenant}");
    for (wrong, fields) in [
        (json!({}), vec!["name", "abilities"]),
        (json!({"name": "n", "abilities": ["widgets:delete"]}), vec!["abilities"]),
        (json!({"name": "n", "abilities": ["*"], "expires_at": "2020-01-01T00:00:00Z"}), vec!["expires_at"]),
    ] {
        let (status, body) = operator.call("POST", &create, Some(wrong.clone())).await;
        let named: Vec<_> =
            body["errors"].as_array().expect("errors").iter().filter_map(|error| error["field"].as_str()).collect();
        assert_eq!((status, named), (422, fields), "{wrong}");
    }
    let nobody = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f";
    let valid = || Some(json!({"name": "n", "abilities": ["*"]}));
    for (method, path, body, code) in [
        ("POST", format!("/create/account-key?tenant_id={nobody}"), valid(), "tenant_not_found"),
        ("GET", format!("/fetch/account-keys?tenant_id={nobody}"), None, "tenant_not_found"),
        (
            "POST",
            format!("/revoke/account-key?tenant_id={tenant}&account_key_id={nobody}"),
            None,
            "account_key_not_found",
        ),
        ("POST", format!("/revoke/account-key?tenant_id={tenant}"), None, "validation_failed"),
        ("POST", "/create/account-key".to_owned(), valid(), "validation_failed"),
    ] {
        let (_, answer) = operator.call(method, &path, body).await;
        assert_eq!(answer["error_code"], code, "{path}");
    }
    for _ in 0..100 {
        key(&operator, &tenant, json!({"name": "n", "abilities": ["*"]})).await;
    }
    let (status, body) = operator.call("POST", &create, valid()).await;
    assert_eq!((status, &body["error_code"]), (409, &json!("limit_reached")));
    assert!(body["message"].as_str().is_some_and(|message| message.contains("100")), "{body}");
}

#[tokio::test]
async fn widget_keys_belong_to_a_bot_and_are_revoked_on_every_gateway() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let owner = operator.provision(json!({"tenant_name": "Acme"})).await;
    let (text, _) = key(&operator, &owner.id, json!({"name": "All", "abilities": ["widgets:*"]})).await;
    let developer = Developer::with(&service, &text);
    let (_, bots) = developer.call("GET", "/bots", None).await;
    let bot = bots["data"]["items"][0]["bot_id"].as_str().expect("an id").to_owned();
    let list = async || {
        let (status, list) = developer.call("GET", &format!("/widgets/keys?bot_id={bot}"), None).await;
        assert_eq!(status, 200, "{list}");
        list["data"]["items"].as_array().expect("a list").clone()
    };
    let own = list().await;
    assert_eq!((own.len(), &own[0]["api_key"]), (1, &json!(owner.widget_public_key)), "the tenant's own is the first");

    let fields =
        json!({"bot_id": bot, "name": "Site", "allowed_domains": ["Example.com", "*.example.com", "example.com"]});
    let (status, made) = developer.call("POST", "/widgets/keys", Some(fields)).await;
    let made = &made["data"];
    assert!(made["api_key"].as_str().is_some_and(|key| key.starts_with("pk_") && key.len() == 35), "{made}");
    assert_eq!(
        (status, &made["allowed_domains"], &made["rate_limit_per_hour"], &made["is_active"], &made["last_used_at"]),
        (201, &json!(["example.com", "*.example.com"]), &json!(1000), &json!(true), &Value::Null)
    );
    assert_eq!(list().await[0], *made, "the newest first");
    let embed =
        |key_id: &Value| format!("/widgets/embed-code?bot_id={bot}&api_key_id={}", key_id.as_str().expect("an id"));
    let (status, code) = developer.call("GET", &embed(&made["id"]), None).await;
    assert_eq!((status, &code["data"]["api_key"]), (200, &made["api_key"]));
    let expected = format!(
        "<script src=\"http://127.0.0.1:7811/widget.js\" data-tenant-id=\"{}\" data-public-key=\"{}\" async></script>",
        owner.id,
        made["api_key"].as_str().expect("a key")
    );
    assert_eq!(code["data"]["embed_code"], expected);
    let path = format!("/widgets/keys/{}", made["id"].as_str().expect("an id"));
    for _ in 0..2 {
        let (status, revoked) = developer.call("DELETE", &path, None).await;
        assert_eq!((status, &revoked["data"]["is_active"]), (200, &json!(false)));
        assert!(revoked["data"]["propagation"]["waited_ms"].is_u64(), "{revoked}");
    }
    assert_eq!(developer.code("GET", &embed(&made["id"]), None).await, refused(404, "widget_key_not_found"), "revoked");
    assert_eq!(
        developer.code("GET", &format!("/widgets/embed-code?bot_id={bot}"), None).await,
        refused(422, "validation_failed")
    );
    let own_path = format!("/widgets/keys/{}", own[0]["id"].as_str().expect("an id"));
    let (status, body) = developer.call("DELETE", &own_path, None).await;
    assert!(status == 409 && body["message"].as_str().is_some_and(|it| it.contains("rotate/widget-key")), "{body}");

    // What is another tenant's is nobody's.
    let other = operator.provision(json!({"tenant_name": "Other"})).await;
    let (text, _) = key(&operator, &other.id, json!({"name": "All", "abilities": ["*"]})).await;
    let stranger = Developer::with(&service, &text);
    assert_eq!(stranger.code("GET", &format!("/widgets/keys?bot_id={bot}"), None).await, refused(404, "bot_not_found"));
    assert_eq!(stranger.code("DELETE", &path, None).await, refused(404, "widget_key_not_found"));
    assert_eq!(stranger.code("GET", &embed(&own[0]["id"]), None).await, refused(404, "bot_not_found"));
    for nonsense in ["nonsense", "%FF"] {
        let path = format!("/widgets/keys/{nonsense}");
        assert_eq!(stranger.code("DELETE", &path, None).await, refused(404, "widget_key_not_found"));
    }
    let theirs = Some(json!({"bot_id": bot, "name": "Theirs"}));
    assert_eq!(stranger.code("POST", "/widgets/keys", theirs).await, refused(404, "bot_not_found"));

    for (wrong, fields) in [
        (json!({}), vec!["bot_id", "name"]),
        (json!({"bot_id": "b", "name": "n"}), vec!["bot_id"]),
        (json!({"bot_id": bot, "name": "n", "allowed_domains": ["https://a.com"]}), vec!["allowed_domains"]),
        (json!({"bot_id": bot, "name": "n", "allowed_domains": ["*.com", "a b"]}), vec!["allowed_domains"]),
        (json!({"bot_id": bot, "name": "n", "rate_limit_per_hour": 0}), vec!["rate_limit_per_hour"]),
    ] {
        let (status, body) = developer.call("POST", "/widgets/keys", Some(wrong.clone())).await;
        let named: Vec<_> =
            body["errors"].as_array().expect("errors").iter().filter_map(|error| error["field"].as_str()).collect();
        assert_eq!((status, named), (422, fields), "{wrong}");
    }
    assert_eq!(list().await.len(), 2, "nothing was written");
}

#[tokio::test]
async fn customizing_writes_only_the_fields_present_and_answers_all() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = tenant(&operator).await;
    let (text, _) = key(&operator, &tenant, json!({"name": "All", "abilities": ["widgets:*"]})).await;
    let developer = Developer::with(&service, &text);
    let (_, bots) = developer.call("GET", "/bots", None).await;
    let bot = bots["data"]["items"][0]["bot_id"].as_str().expect("an id").to_owned();
    let get =
        async || developer.call("GET", &format!("/widgets/customization?bot_id={bot}"), None).await.1["data"].clone();
    let first = get().await;
    assert_eq!(
        (&first["theme_color"], &first["position"], &first["show_branding"], &first["welcome_message"]),
        (&json!("#2563EB"), &json!("bottom-right"), &json!(true), &Value::Null)
    );
    let fields = json!({"bot_id": bot, "theme_color": "#0055FF", "welcome_message": "Bonjour <b>"});
    let (status, saved) = developer.call("PUT", "/widgets/customization", Some(fields)).await;
    assert_eq!((status, &saved["data"]["theme_color"]), (200, &json!("#0055FF")));
    assert_eq!(saved["data"]["greeting_text"], first["greeting_text"], "what is absent stays");
    assert_eq!(get().await, saved["data"]);
    // What was read may be sent back whole.
    assert_eq!(developer.call("PUT", "/widgets/customization", Some(get().await)).await.0, 200);
    for (wrong, field) in [
        (json!({"theme_color": "#000000"}), "bot_id"),
        (json!({"bot_id": bot, "position": "top"}), "position"),
        (json!({"bot_id": bot, "avatar_url": "http://a.com/a.png"}), "avatar_url"),
        (json!({"bot_id": bot, "script": "alert(1)"}), "script"),
    ] {
        let (status, body) = developer.call("PUT", "/widgets/customization", Some(wrong.clone())).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!(field)), "{wrong}");
    }
    let nobody = json!({"bot_id": "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f", "position": "bottom-left"});
    assert_eq!(developer.code("PUT", "/widgets/customization", Some(nobody)).await, refused(404, "bot_not_found"));
    let path = format!("/fetch/audit-log?tenant_id={tenant}&limit=2");
    let (_, log) = operator.call("GET", &path, None).await;
    let rows = &log["data"]["items"];
    assert_eq!((&rows[0]["changed_fields"], &rows[1]["action"]), (&json!([]), &json!("customize_widget")));
    assert_eq!(rows[1]["changed_fields"], json!(["theme_color", "welcome_message"]));
}
