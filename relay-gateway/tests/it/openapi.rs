//! The API reference is the code's: the golden file changes with it, and in the same commit.

#[test]
fn the_document_is_the_golden_one() {
    let document = relay_gateway::openapi().to_pretty_json().expect("serializes");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, format!("{document}\n")).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden.trim() == document.trim(),
        "openapi.json has drifted: run `UPDATE_OPENAPI=1 cargo test -p relay-gateway openapi` and commit the difference"
    );
}

#[test]
fn every_path_of_the_contract_is_documented() {
    let document = serde_json::to_value(relay_gateway::openapi()).expect("serializes");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    for (method, path, answers) in [
        ("post", "/api/v1/create/visitor-session", ["201", "403"]),
        ("get", "/api/v1/fetch/widget-config", ["200", "403"]),
        ("post", "/api/v1/refresh/visitor-token", ["200", "401"]),
        ("post", "/api/v1/end/visitor-session", ["200", "401"]),
        ("get", "/api/v1/ws/widget", ["101", "426"]),
        ("get", "/widget.js", ["200", "304"]),
    ] {
        let operation = &document["paths"][path][method];
        for answer in answers {
            assert!(operation["responses"][answer].is_object(), "{method} {path} {answer}: {operation}");
        }
    }
    let new_session = &document["components"]["schemas"]["NewSession"];
    assert_eq!(new_session["required"], serde_json::json!(["tenant_id", "widget_public_key", "origin"]));
}
