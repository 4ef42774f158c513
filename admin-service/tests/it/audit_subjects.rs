//! What a change was made to: in the audit log since m0009, covered by the chain, and absent in rows from before.

use admin_service::verify_audit;
use proto::{
    admin::v1::{ListAuditLogRequest, tenant_admin_client::TenantAdminClient},
    identity::v1::{ProvisionOperatorRequest, identity_client::IdentityClient},
    visitors::v1::{AdmitVisitorRequest, RevokeVisitorRequest, visitors_client::VisitorsClient},
};
use serde_json::{Value, json};

use crate::{
    grpc::{admin, bytes, channel, gateway},
    support::{Service, TestDatabase, database, master_keys, postgres, sqlite},
};

/// A database of the commit before: ten chained rows, written and dumped by that version.
const BEFORE: &str = include_str!("fixtures/before_audit_subject.sql");

async fn verified(on: &TestDatabase) -> (String, bool) {
    verify_audit::verify(&database(&on.url), &master_keys(), [None, None]).await.expect("it can be read")
}

async fn rows(service: &Service) -> Vec<Value> {
    let (status, listed) = service.operator().call("GET", "/fetch/audit-log", None).await;
    assert_eq!(status, 200, "{listed}");
    listed["data"]["items"].as_array().expect("rows").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_from_before_there_were_subjects_verify_and_what_follows_has_one() {
    let on = postgres();
    on.meddle(BEFORE);
    let refused = verify_audit::verify(&database(&on.url), &master_keys(), [None, None]).await;
    assert!(refused.expect_err("the schema is yesterday's").contains("start it once"));
    let service = Service::start(on).await;
    let (printed, is_well) = verified(&service.database).await;
    assert!(is_well && printed.contains("audit_log: intact; 10 rows verified, 0 from before"), "{printed}");
    let old = rows(&service).await;
    assert!(old.len() == 10 && old.iter().all(|row| row["subject"] == Value::Null), "{old:?}");
    let named = |row: &Value| row["changed_fields"][0].as_str().unwrap_or_default().to_owned();
    assert!(named(&old[2]).starts_with("widget_key:") && named(&old[0]).starts_with("signing_key:"), "{old:?}");

    let tenant = old[9]["tenant_id"].as_str().expect("an id").to_owned();
    let make = format!("/create/account-key?tenant_id={tenant}");
    let fields = json!({"name": "New", "abilities": ["*"]});
    let (status, made) = service.operator().call("POST", &make, Some(fields)).await;
    assert_eq!(status, 201, "{made}");
    let subject = format!("account_key:{}", made["data"]["account_key_id"].as_str().expect("an id"));
    let newest = &rows(&service).await[0];
    assert_eq!((&newest["subject"], &newest["changed_fields"]), (&json!(subject), &json!(["name", "abilities"])));
    service.operator().call("POST", &format!("/suspend/tenant?tenant_id={tenant}"), None).await;
    assert_eq!(rows(&service).await[0]["subject"], Value::Null, "the tenant itself");
    let (printed, is_well) = verified(&service.database).await;
    assert!(is_well && printed.contains("12 rows verified"), "{printed}");

    for (sql, told) in [
        ("UPDATE audit_log SET subject = 'bot:1' WHERE revision = 11", "row 11 was altered"),
        ("UPDATE audit_log SET subject = NULL WHERE revision = 11", "row 11 was altered"),
        ("UPDATE audit_log SET subject = '' WHERE revision = 12", "row 12 was altered"),
        ("UPDATE audit_log SET subject = 'bot:1' WHERE revision = 5", "row 5 was altered"),
        (
            "UPDATE audit_log SET subject = changed_fields ->> 0, changed_fields = '[]' WHERE revision = 5",
            "row 5 was altered",
        ),
        (
            "UPDATE audit_log SET changed_fields = changed_fields || to_jsonb(subject), subject = NULL WHERE revision = 11",
            "row 11 was altered",
        ),
    ] {
        service.database.meddle(&format!("CREATE TABLE audit_copy AS TABLE audit_log; {sql}"));
        let (printed, is_well) = verified(&service.database).await;
        assert!(!is_well && printed.contains(told), "{sql}: {printed}");
        service
            .database
            .meddle("DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM audit_copy; DROP TABLE audit_copy");
    }
    assert!(verified(&service.database).await.1);
    service.stop().await;
}

#[tokio::test]
async fn each_change_names_its_subject_over_rest_and_grpc() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Subjects"})).await;
    let make = format!("/create/account-key?tenant_id={}", tenant.id);
    let (_, made) = operator.call("POST", &make, Some(json!({"name": "CI", "abilities": ["*"]}))).await;
    let text = |answer: &Value, field: &str| answer["data"][field].as_str().expect("text").to_owned();
    let (key, key_id) = (text(&made, "account_key"), text(&made, "account_key_id"));
    let base = format!("http://{}/api/v1", service.rest);
    let call = async |method: &str, path: &str, body: Value| -> Value {
        let request = reqwest::Client::new().request(method.parse().expect("a method"), format!("{base}{path}"));
        let answer = request.bearer_auth(&key).json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.json().await.expect("JSON")
    };
    let bot = text(&call("POST", "/bots", json!({"name": "Second"})).await, "bot_id");
    let widget_key = text(&call("POST", "/widgets/keys", json!({"bot_id": bot, "name": "Shop"})).await, "id");
    call("PUT", "/widgets/customization", json!({"bot_id": bot, "theme_color": "#112233"})).await;
    call("DELETE", &format!("/widgets/keys/{widget_key}"), Value::Null).await;
    let revoke = format!("/revoke/account-key?tenant_id={}&account_key_id={key_id}", tenant.id);
    assert_eq!(operator.call("POST", &revoke, None).await.0, 200);

    let mut identity = IdentityClient::new(channel(&service).await);
    let profile = ProvisionOperatorRequest {
        tenant_id: bytes(&tenant.id),
        email: "op@acme.com".to_owned(),
        display_name: "Op".to_owned(),
        ..ProvisionOperatorRequest::default()
    };
    let provisioned = identity.provision_operator(gateway(profile)).await.expect("made").into_inner();
    let operator_id = provisioned.operator.expect("there").operator_id;
    let mut visitors = VisitorsClient::new(channel(&service).await);
    let revoked = RevokeVisitorRequest {
        tenant_id: bytes(&tenant.id),
        visitor_user_id: "mary".to_owned(),
        ..RevokeVisitorRequest::default()
    };
    visitors.revoke_visitor(gateway(revoked)).await.expect("revoked");

    // The log names the session that stands for the visitor. The tenant's own id of a visitor may be an e-mail address.
    let admitted =
        AdmitVisitorRequest { tenant_id: bytes(&tenant.id), visitor_user_id: "mary".to_owned(), generation: u64::MAX };
    let session = visitors.admit_visitor(gateway(admitted)).await.expect("admitted").into_inner().session_id;
    let expected = [
        Some(format!("visitor:{session}")),
        Some(format!("operator:{operator_id}")),
        Some(format!("account_key:{key_id}")),
        Some(format!("widget_key:{widget_key}")),
        Some(format!("bot:{bot}")),
        Some(format!("widget_key:{widget_key}")),
        Some(format!("bot:{bot}")),
        Some(format!("account_key:{key_id}")),
        None,
    ];
    let over_rest = rows(&service).await;
    let subjects: Vec<_> = over_rest.iter().map(|row| row["subject"].as_str().map(str::to_owned)).collect();
    assert_eq!(subjects, expected);
    for row in &over_rest {
        let subject = row["subject"].as_str().unwrap_or("none");
        let fields = row["changed_fields"].as_array().expect("a list");
        assert!(!fields.iter().any(|field| field == subject), "{row}");
    }
    let mut tenants = TenantAdminClient::new(channel(&service).await);
    let log = tenants.list_audit_log(admin(ListAuditLogRequest::default())).await.expect("listed").into_inner();
    assert_eq!(log.items.into_iter().map(|entry| entry.subject).collect::<Vec<_>>(), expected);
    service.stop().await;
}
