//! The contract for chat backends: the OpenAPI document.

#[test]
fn the_contract_for_backends_says_what_is_sent() {
    let document = serde_json::to_value(chat_backend::openapi()).expect("serializes");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 10);
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let headers = operation["parameters"]
                .as_array()
                .expect("parameters")
                .iter()
                .filter(|parameter| parameter["in"] == "header")
                .count();
            assert_eq!(headers, 4, "{method} {path}");
            if method == "post" {
                let reference =
                    operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().expect(path);
                let schema = &document["components"]["schemas"][reference.rsplit('/').next().expect("a name")];
                assert!(schema["properties"].is_object() && schema["required"].is_array(), "{path}: {schema}");
            }
        }
    }
}

#[test]
fn the_contract_for_backends_is_the_golden_one() {
    let document = chat_backend::openapi().to_pretty_json().expect("serializes");
    e2e::openapi::assert_golden(env!("CARGO_MANIFEST_DIR"), "chat-backend", &document);
}
