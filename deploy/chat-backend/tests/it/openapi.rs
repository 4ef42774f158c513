//! The contract for chat backends: the OpenAPI document.

use wire::frames::limits::{LOCALE_CHARS, SIGNED_MESSAGE_ATTACHMENTS, SIGNED_MESSAGE_CHARS, VISITOR_USER_ID_CHARS};

#[test]
fn the_contract_for_backends_says_what_is_sent() {
    let document = serde_json::to_value(chat_backend::openapi()).expect("serializes");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 28);
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let headers = operation["parameters"]
                .as_array()
                .expect("parameters")
                .iter()
                .filter(|parameter| parameter["in"] == "header")
                .count();
            assert_eq!(headers, 4, "{method} {path}");
            // What operators do with a conversation takes no body.
            let takes_json = path != "/upload/attachment";
            if method == "post"
                && takes_json
                && (operation["requestBody"].is_object() || !path.starts_with("/operator/"))
            {
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

#[test]
fn the_contract_for_backends_names_the_limits_that_are_kept() {
    let document = serde_json::to_value(chat_backend::openapi()).expect("serializes");
    let schemas = &document["components"]["schemas"];
    let message = &schemas["NewMessage"]["properties"];
    assert_eq!(message["content"]["maxLength"], SIGNED_MESSAGE_CHARS);
    assert_eq!(message["attachments"]["maxItems"], SIGNED_MESSAGE_ATTACHMENTS);
    assert_eq!(schemas["NewContactTicket"]["properties"]["message"]["maxLength"], SIGNED_MESSAGE_CHARS);
    let conversation = &schemas["NewConversation"]["properties"];
    assert_eq!(conversation["visitor_user_id"]["maxLength"], VISITOR_USER_ID_CHARS);
    assert_eq!(conversation["locale"]["maxLength"], LOCALE_CHARS);
}
