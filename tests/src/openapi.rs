//! An OpenAPI 3.1 document held against what is answered. Its schemas are JSON Schema.

use serde_json::{Value, json};

/// A document.
#[derive(Debug)]
pub struct Document(Value);

impl Document {
    /// Of a document's JSON.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    /// Every path with its methods, as the document writes them.
    ///
    /// # Panics
    /// Where it has no paths.
    #[must_use]
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let methods = |item: &Value| item.as_object().expect("an item").keys().cloned().collect::<Vec<_>>();
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.clone()))).collect()
    }

    /// What in an answer differs from what the document says of it; empty where nothing does.
    #[must_use]
    pub fn differences(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        let response = &operation["responses"][status.to_string()];
        if !response.is_object() {
            return vec![format!("{method} {path} answers {status} ({}), which is not documented", body["error_code"])];
        }
        let mut found = self.broken(&response["content"]["application/json"]["schema"], body);
        if let Some(code) = body["error_code"].as_str()
            && !response["description"].as_str().is_some_and(|text| text.contains(&format!("`{code}`")))
        {
            found.push(format!("the description of {status} does not name `{code}`"));
        }
        found.into_iter().map(|difference| format!("{method} {path} {status}: {difference}")).collect()
    }

    /// Whether the document lets a body be sent.
    #[must_use]
    pub fn takes(&self, method: &str, path: &str, body: &Value) -> bool {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        self.broken(&operation["requestBody"]["content"]["application/json"]["schema"], body).is_empty()
    }

    fn broken(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut whole = schema.clone();
        let Some(object) = whole.as_object_mut() else { return vec!["it has no schema".to_owned()] };
        // References are into the document.
        object.insert("components".to_owned(), json!({"schemas": self.0["components"]["schemas"]}));
        let validator = jsonschema::options().should_validate_formats(true).build(&whole).expect("a JSON Schema");
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}
