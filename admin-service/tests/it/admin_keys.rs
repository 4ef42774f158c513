//! Admin keys with scopes: made with a root key, used over REST and gRPC, and of no use once they are revoked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use admin_service::admin_key::Scope;
use e2e::world::Operator;
use proto::{
    admin::v1::{
        ListAuditLogRequest, ListTenantsRequest, ProvisionTenantRequest, RotateTenantSecretRequest, TenantRequest,
        UpdateTenantRequest, tenant_admin_client::TenantAdminClient,
    },
    events::v1::{PublishRequest, events_client::EventsClient},
};
use serde_json::{Value, json};
use service::ApiError;
use wire::ErrorCode;

use crate::{
    grpc::{channel, with},
    support::{Service, TestDatabase, postgres, sqlite},
};

/// A caller with an admin key, or with whatever else.
#[derive(Clone)]
struct Holder {
    base: String,
    key: String,
}

impl Holder {
    fn of(service: &Service, key: &str) -> Self {
        Self { base: format!("http://{}/api/v1", service.rest), key: key.to_owned() }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let client = reqwest::Client::new();
        let request = client.request(method.parse().expect("a method"), format!("{}{path}", self.base));
        let request = request.header("x-admin-key", &self.key);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn code(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.call(method, path, body).await;
        (status, body["error_code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Makes a key; answers its text and its id.
async fn key(operator: &Operator, fields: Value) -> (String, String) {
    let (status, answer) = operator.call("POST", "/create/admin-key", Some(fields)).await;
    assert_eq!(status, 201, "{answer}");
    let text = |field: &str| answer["data"][field].as_str().expect("text").to_owned();
    (text("admin_key"), text("admin_key_id"))
}

async fn scoped(operator: &Operator, scopes: &[&str]) -> (String, String) {
    key(operator, json!({"name": "CI", "scopes": scopes})).await
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn list(operator: &Operator) -> Vec<Value> {
    let (status, list) = operator.call("GET", "/fetch/admin-keys", None).await;
    assert_eq!(status, 200, "{list}");
    list["data"]["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_key_is_shown_once_listed_without_its_text_and_named_by_the_audit_log() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let (text, id) = scoped(&operator, &["tenants:write"]).await;
    assert!(text.starts_with("adk_") && text.len() == 47);
    let listed = list(&operator).await;
    assert!(!json!(listed).to_string().contains(&text[4..]), "its text is nowhere");
    assert_eq!(
        (&listed[0]["admin_key_id"], &listed[0]["name"], &listed[0]["scopes"], &listed[0]["hint"]),
        (&json!(id), &json!("CI"), &json!(["tenants:write"]), &json!(text[43..]))
    );
    let holder = Holder::of(&service, &text);
    let (status, made) = holder.call("POST", "/provision/tenant", Some(json!({"tenant_name": "Acme"}))).await;
    assert_eq!(status, 201, "{made}");
    let (_, log) = operator.call("GET", "/fetch/audit-log", None).await;
    let rows: Vec<_> = log["data"]["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["action"].clone(), row["actor"].clone(), row["subject"].clone()))
        .collect();
    assert_eq!((&rows[0].0, &rows[0].1), (&json!("provision_tenant"), &json!(format!("admin_key:{id}"))));
    assert_eq!((&rows[1].0, &rows[1].2), (&json!("create_admin_key"), &json!(format!("admin_key:{id}"))));
    assert_ne!(rows[1].1, rows[0].1, "a root key made it");

    // When it was last used comes to be known when the service has a moment, and at the latest when it stops.
    let service = Service::start(service.stop().await).await;
    let used = list(&service.operator()).await[0]["last_used_at"].as_str().expect("a time").to_owned();
    assert!(used.ends_with(":00.000Z"), "to the minute: {used}");
}

/// A call of each path, and the scope that it needs.
fn calls(tenant: &str) -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    let of = |path: &str| format!("{path}?tenant_id={tenant}");
    let nobody = uuid::Uuid::now_v7();
    vec![
        ("GET", of("/fetch/tenant"), None, "tenants:read"),
        ("GET", "/fetch/tenants".to_owned(), None, "tenants:read"),
        ("POST", "/provision/tenant".to_owned(), Some(json!({"tenant_name": "Other"})), "tenants:write"),
        ("POST", of("/update/tenant"), Some(json!({"tenant_name": "Acme"})), "tenants:write"),
        ("POST", of("/suspend/tenant"), None, "tenants:write"),
        ("POST", of("/reactivate/tenant"), None, "tenants:write"),
        ("POST", of("/rotate/tenant-secret"), None, "secrets:rotate"),
        ("POST", of("/rotate/widget-key"), None, "secrets:rotate"),
        ("POST", of("/revoke/previous-secret"), None, "secrets:rotate"),
        ("GET", of("/fetch/account-keys"), None, "keys:read"),
        ("GET", "/fetch/signing-keys".to_owned(), None, "keys:read"),
        ("POST", of("/create/account-key"), Some(json!({"name": "n", "abilities": ["*"]})), "keys:write"),
        ("POST", format!("{}&account_key_id={nobody}", of("/revoke/account-key")), None, "keys:write"),
        ("POST", "/rotate/signing-key".to_owned(), None, "keys:write"),
        ("POST", format!("/retire/signing-key?signing_key_id={nobody}"), None, "keys:write"),
        ("GET", "/fetch/audit-log".to_owned(), None, "audit:read"),
        ("GET", "/fetch/access-log".to_owned(), None, "audit:read"),
        ("GET", of("/fetch/events"), None, "events:read"),
        ("GET", format!("{}&event_id=e", of("/fetch/event")), None, "events:read"),
        ("POST", of("/replay/event"), Some(json!({"event_id": "e"})), "events:write"),
        ("POST", of("/replay/events"), Some(json!({})), "events:write"),
        ("POST", of("/send/test-event"), Some(json!({})), "events:write"),
        ("POST", of("/start/endpoint"), None, "events:write"),
        ("POST", "/create/admin-key".to_owned(), Some(json!({"name": "n", "scopes": ["audit:read"]})), "root"),
        ("GET", "/fetch/admin-keys".to_owned(), None, "root"),
        ("POST", format!("/revoke/admin-key?admin_key_id={nobody}"), None, "root"),
    ]
}

#[tokio::test]
async fn a_key_opens_the_calls_of_its_scope_and_no_other() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Acme"})).await.id;
    for scope in Scope::EVERY {
        let has = scope.as_str();
        let (text, _) = scoped(&operator, &[has]).await;
        let holder = Holder::of(&service, &text);
        for (method, path, body, needed) in calls(&tenant) {
            let (status, answer) = holder.call(method, &path, body).await;
            if needed == has {
                assert!(status < 500 && !matches!(status, 401 | 403), "{has} at {path}: {answer}");
            } else {
                assert_eq!((status, &answer["error_code"]), (403, &json!("missing_scope")), "{has} at {path}");
                let says = answer["message"].as_str().expect("words");
                assert!(needed == "root" && says.contains("root key") || says.contains(needed), "{path}: {says}");
            }
        }
    }
    let all: Vec<_> = Scope::EVERY.iter().map(|scope| scope.as_str()).collect();
    let (text, _) = scoped(&operator, &all).await;
    let missing = Holder::of(&service, &text).code("GET", "/fetch/admin-keys", None).await;
    assert_eq!(missing, refused(403, "missing_scope"), "no scope stands for a root key");
}

#[tokio::test]
async fn over_grpc_a_key_opens_the_methods_of_its_scope() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Acme"})).await.id;
    let channel = channel(&service).await;
    let (reader, id) = scoped(&operator, &["tenants:read"]).await;
    let mut tenants = TenantAdminClient::new(channel.clone());
    tenants.list_tenants(with(ListTenantsRequest::default(), "x-admin-key", &reader)).await.expect("it may");
    let code = |status: tonic::Status| ApiError::from_status(&status).map(|error| error.code());
    let request = RotateTenantSecretRequest { tenant_id: tenant.clone(), ..Default::default() };
    let rotation = tenants.rotate_tenant_secret(with(request, "x-admin-key", &reader)).await;
    assert_eq!(code(rotation.expect_err("refused")), Some(ErrorCode::MissingScope));
    let log = tenants.list_audit_log(with(ListAuditLogRequest::default(), "x-admin-key", &reader)).await;
    assert_eq!(code(log.expect_err("refused")), Some(ErrorCode::MissingScope));

    let mut events = EventsClient::new(channel);
    let publication = || PublishRequest { tenant_id: tenant.clone(), ..Default::default() };
    let published = events.publish(with(publication(), "x-admin-key", &reader)).await;
    assert_eq!(code(published.expect_err("refused")), Some(ErrorCode::MissingScope));
    let (writer, _) = scoped(&operator, &["events:write"]).await;
    events.publish(with(publication(), "x-admin-key", &writer)).await.expect("it may, and nothing is no error");

    let (status, _) = operator.call("POST", &format!("/revoke/admin-key?admin_key_id={id}"), None).await;
    assert_eq!(status, 200);
    let fetched = tenants.get_tenant(with(TenantRequest { tenant_id: tenant }, "x-admin-key", &reader)).await;
    assert_eq!(code(fetched.expect_err("refused")), Some(ErrorCode::InvalidAdminKey));
}

#[tokio::test]
async fn what_is_no_valid_key_is_refused_with_one_answer() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(10);
    let fields = json!({"name": "Soon", "scopes": ["tenants:read"], "expires_at": soon.to_string()});
    let holder = Holder::of(&service, &key(&operator, fields).await.0);
    assert_eq!(holder.call("GET", "/fetch/tenants", None).await.0, 200);
    let deadline = Instant::now() + Duration::from_secs(30);
    while holder.code("GET", "/fetch/tenants", None).await != refused(401, "invalid_admin_key") {
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (valid, _) = scoped(&operator, &["tenants:read"]).await;
    for wrong in
        [format!("{valid}x"), valid.replace("adk_", "ak_"), format!("adk_{}", "A".repeat(43)), "adk_".to_owned()]
    {
        let answer = Holder::of(&service, &wrong).code("GET", "/fetch/tenants", None).await;
        assert_eq!(answer, refused(401, "invalid_admin_key"), "{wrong}");
    }
    for (fields, field) in [
        (json!({"name": "n"}), "scopes"),
        (json!({"name": "n", "scopes": ["tenants:*"]}), "scopes"),
        (json!({"scopes": ["tenants:read"]}), "name"),
        (json!({"name": "n", "scopes": ["tenants:read"], "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
    ] {
        let (status, answer) = operator.call("POST", "/create/admin-key", Some(fields)).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!(field)), "{answer}");
    }
    let nobody = uuid::Uuid::now_v7();
    let (status, answer) = operator.call("POST", &format!("/revoke/admin-key?admin_key_id={nobody}"), None).await;
    assert_eq!((status, &answer["error_code"]), (404, &json!("admin_key_not_found")));
    for _ in 2..100 {
        scoped(&operator, &["tenants:read"]).await;
    }
    let (status, answer) =
        operator.call("POST", "/create/admin-key", Some(json!({"name": "n", "scopes": ["audit:read"]}))).await;
    // The one that has ended counts no more.
    assert_eq!(status, 201, "{answer}");
    let (status, answer) =
        operator.call("POST", "/create/admin-key", Some(json!({"name": "n", "scopes": ["audit:read"]}))).await;
    assert_eq!((status, &answer["error_code"]), (409, &json!("limit_reached")));
}

#[tokio::test]
async fn a_method_needs_the_scope_of_the_same_call_over_rest() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let channel = channel(&service).await;
    for scope in Scope::EVERY {
        let (key, _) = scoped(&operator, &[scope.as_str()]).await;
        let mut tenants = TenantAdminClient::new(channel.clone());
        let holder = Holder::of(&service, &key);
        // Requests that are refused for what they lack: only whether the key may make the call matters.
        macro_rules! same {
            ($($method:ident, $request:ident, $http:literal, $path:literal;)*) => {$(
                let over_grpc = tenants.$method(with($request::default(), "x-admin-key", &key)).await.err();
                let is_missing = over_grpc.and_then(|status| ApiError::from_status(&status)).map(|error| error.code())
                    == Some(ErrorCode::MissingScope);
                let (status, answer) = holder.call($http, $path, ($http == "POST").then(|| json!({}))).await;
                assert_eq!(is_missing, answer["error_code"] == "missing_scope", "{scope} at {}: {status} {answer}", $path);
            )*};
        }
        same! {
            get_tenant, TenantRequest, "GET", "/fetch/tenant";
            list_tenants, ListTenantsRequest, "GET", "/fetch/tenants";
            provision_tenant, ProvisionTenantRequest, "POST", "/provision/tenant";
            update_tenant, UpdateTenantRequest, "POST", "/update/tenant";
            suspend_tenant, TenantRequest, "POST", "/suspend/tenant";
            reactivate_tenant, TenantRequest, "POST", "/reactivate/tenant";
            rotate_tenant_secret, RotateTenantSecretRequest, "POST", "/rotate/tenant-secret";
            rotate_widget_key, TenantRequest, "POST", "/rotate/widget-key";
            revoke_previous_secret, TenantRequest, "POST", "/revoke/previous-secret";
            list_audit_log, ListAuditLogRequest, "GET", "/fetch/audit-log";
        }
    }
}

#[tokio::test]
async fn a_key_that_was_valid_once_locks_nobody_out_and_misuse_is_logged() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let (text, id) = scoped(&operator, &["tenants:read"]).await;
    let holder = Holder::of(&service, &text);
    assert_eq!(holder.code("GET", "/fetch/audit-log", None).await, refused(403, "missing_scope"));
    let (status, _) = operator.call("POST", &format!("/revoke/admin-key?admin_key_id={id}"), None).await;
    assert_eq!(status, 200);
    for _ in 0..40 {
        assert_eq!(holder.code("GET", "/fetch/tenants", None).await, refused(401, "invalid_admin_key"));
    }
    assert_eq!(operator.call("GET", "/fetch/tenants", None).await.0, 200, "the root key still opens everything");
    for _ in 0..30 {
        let guess = Holder::of(&service, &format!("adk_{}", "A".repeat(43)));
        assert_eq!(guess.code("GET", "/fetch/tenants", None).await, refused(401, "invalid_admin_key"));
    }
    assert_eq!(operator.call("GET", "/fetch/tenants", None).await.0, 429, "guessing is slowed as before");

    let service = Service::start(service.stop().await).await;
    let (_, log) = service.operator().call("GET", "/fetch/access-log", None).await;
    let rows = log["data"]["items"].as_array().expect("rows");
    let misuse = rows.iter().find(|row| row["actor"] == "admin_key").expect("a row");
    assert_eq!((&misuse["kind"], &misuse["subject"]), (&json!("refuse_operator"), &json!(format!("admin_key:{id}"))));
}

/// Publications and replays are under way with a key while it is revoked: none is written after the revocation has returned.
async fn no_event_outlives_the_key(database: TestDatabase) {
    let service = Service::start(database).await;
    let operator = service.operator();
    let tenant =
        operator.provision(json!({"tenant_name": "Acme", "callback_url_base": "https://acme.invalid"})).await.id;
    let (text, id) = scoped(&operator, &["events:write"]).await;
    let (is_over, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (holder, tenant) = (Holder::of(&service, &text), tenant.clone());
            let (is_over, under_way) = (is_over.clone(), under_way.clone());
            tokio::spawn(async move {
                let mut made = 0;
                loop {
                    let was_over = is_over.load(Ordering::SeqCst);
                    let path = format!("/send/test-event?tenant_id={tenant}");
                    match holder.call("POST", &path, Some(json!({"event_type": "ticket_created"}))).await {
                        (200, answer) => {
                            assert!(!was_over, "{answer}");
                            under_way.fetch_add(usize::from(made == 0), Ordering::SeqCst);
                            made += 1;
                        }
                        (401, _) => return made,
                        (_, answer) => panic!("{answer}"),
                    }
                }
            })
        })
        .collect();
    while under_way.load(Ordering::SeqCst) < callers.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (status, _) = operator.call("POST", &format!("/revoke/admin-key?admin_key_id={id}"), None).await;
    assert_eq!(status, 200);
    let count = async || {
        let (_, page) = operator.call("GET", &format!("/fetch/events?tenant_id={tenant}&limit=1"), None).await;
        page["data"]["items"][0]["seq"].as_u64().expect("a number")
    };
    let then = count().await;
    is_over.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.expect("it was refused");
    }
    assert_eq!(count().await, then, "nothing was written after the revocation");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_written_with_a_key_that_is_revoked_on_sqlite() {
    no_event_outlives_the_key(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_written_with_a_key_that_is_revoked_on_postgres() {
    no_event_outlives_the_key(postgres()).await;
}

/// Many changes are under way with a key while it is revoked: none is committed after the revocation has returned.
async fn no_change_outlives_the_key(database: TestDatabase, replicas: usize) {
    let mut services = Vec::new();
    let more: Vec<_> = (1..replicas).map(|_| database.shared()).collect();
    for database in std::iter::once(database).chain(more) {
        services.push(Service::start(database).await);
    }
    let operator = services[0].operator();
    // A tenant for each caller: two that change one tenant would get in each other's way.
    let mut tenants = Vec::new();
    for number in 0..8 {
        tenants.push(operator.provision(json!({"tenant_name": format!("Acme {number}")})).await.id);
    }
    for round in 0..3 {
        let (text, id) = scoped(&operator, &["tenants:write"]).await;
        let (is_over, under_way) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = tenants
            .iter()
            .enumerate()
            .map(|(number, tenant)| {
                let holder = Holder::of(&services[number % services.len()], &text);
                let (tenant, is_over, under_way) = (tenant.clone(), is_over.clone(), under_way.clone());
                tokio::spawn(async move {
                    let mut made = 0;
                    loop {
                        let was_over = is_over.load(Ordering::SeqCst);
                        let body = json!({"tenant_name": format!("{number} {made}")});
                        let (status, answer) =
                            holder.call("POST", &format!("/update/tenant?tenant_id={tenant}"), Some(body)).await;
                        match status {
                            200 => {
                                assert!(!was_over, "round {round}: {answer}");
                                under_way.fetch_add(usize::from(made == 0), Ordering::SeqCst);
                                made += 1;
                            }
                            401 => return made,
                            _ => panic!("{answer}"),
                        }
                    }
                })
            })
            .collect();
        while under_way.load(Ordering::SeqCst) < tenants.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (status, revoked) = operator.call("POST", &format!("/revoke/admin-key?admin_key_id={id}"), None).await;
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(status, 200, "{revoked}");
        let mut made = 0;
        for caller in callers {
            made += caller.await.expect("it was refused");
        }
        assert!(made > 0, "round {round}");
        // In the log, which is in the order of commits, nothing of the key follows its revocation.
        let (_, log) = operator.call("GET", "/fetch/audit-log?limit=200", None).await;
        let rows = log["data"]["items"].as_array().expect("rows");
        let revocation = rows.iter().position(|row| row["action"] == "revoke_admin_key").expect("it is logged");
        let actor = json!(format!("admin_key:{id}"));
        assert!(rows[..revocation].iter().all(|row| row["actor"] != actor), "round {round}");
    }
    for service in services {
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_committed_with_a_key_that_is_revoked_on_sqlite() {
    no_change_outlives_the_key(sqlite(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_committed_with_a_key_that_is_revoked_at_another_replica() {
    no_change_outlives_the_key(postgres(), 2).await;
}
