//! The API reference is the code's: the golden file changes with it, and in the same commit.

#[test]
fn the_document_is_the_golden_one() {
    let document = admin_service::openapi().to_pretty_json().expect("serializes");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, format!("{document}\n")).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden.trim() == document.trim(),
        "openapi.json has drifted: run `UPDATE_OPENAPI=1 cargo test -p admin-service openapi` and commit the difference"
    );
}

#[test]
fn every_path_of_the_contract_is_documented() {
    let document = serde_json::to_value(admin_service::openapi()).expect("serializes");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for (method, path) in [
        ("post", "/api/v1/provision/tenant"),
        ("post", "/api/v1/update/tenant"),
        ("post", "/api/v1/rotate/tenant-secret"),
        ("post", "/api/v1/rotate/widget-key"),
        ("post", "/api/v1/suspend/tenant"),
        ("post", "/api/v1/reactivate/tenant"),
        ("get", "/api/v1/fetch/tenant"),
        ("get", "/api/v1/fetch/tenants"),
        ("get", "/api/v1/fetch/audit-log"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(operation["responses"]["401"].is_object(), "{method} {path}: {operation}");
    }
    let new_tenant = &document["components"]["schemas"]["NewTenant"];
    assert_eq!(new_tenant["required"], serde_json::json!(["tenant_name"]));
    assert_eq!(new_tenant["additionalProperties"], serde_json::json!(false));
}
