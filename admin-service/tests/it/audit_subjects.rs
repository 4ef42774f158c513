//! What a change was made to: in the audit log since m0009, covered by the chain, and absent in rows from before.

use serde_json::{Value, json};

use admin_service::verify_audit;

use crate::support::{Service, TestDatabase, database, master_keys, postgres};

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
