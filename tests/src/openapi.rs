//! An OpenAPI 3.1 document held against what is answered. Its schemas are JSON Schema.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde_json::{Value, json};

/// Compares a document with the golden file of its crate, which lies at `manifest_dir`. With the variable `UPDATE_OPENAPI` set, it
/// writes the file first.
///
/// # Panics
/// Where they differ.
pub fn assert_golden(manifest_dir: &str, package: &str, document: &str) {
    let path = Path::new(manifest_dir).join("openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, format!("{document}\n")).expect("written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden.trim() == document.trim(),
        "openapi.json has drifted: run `UPDATE_OPENAPI=1 cargo test -p {package} golden` and commit the difference"
    );
}

/// What is sent and answered, held against a document.
#[derive(Debug)]
pub struct Comparison {
    document: Document,
    differences: Vec<String>,
    /// Operations and whether they succeeded.
    seen: HashSet<(String, String, bool)>,
}

impl Comparison {
    /// With this document's JSON.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self { document: Document::new(document), differences: Vec::new(), seen: HashSet::new() }
    }

    /// Notes what differs of a call of `path`, as the document writes it: its answer, and its body where it had one.
    pub fn note(&mut self, method: &str, path: &str, body: Option<&Value>, status: u16, answered: &Value) {
        self.differences.extend(self.document.differences(method, path, status, answered));
        let is_good = status < 300;
        if let Some(body) = body.filter(|_| is_good || status == 422)
            && self.document.takes(method, path, body) != is_good
        {
            self.differences.push(format!("{method} {path}: {status} for {body}, {}", answered["errors"]));
        }
        self.seen.insert((method.to_ascii_lowercase(), path.to_owned(), is_good));
    }

    /// Ends: nothing differed, and every operation was tried with success and without. Paths of `elsewhere` have other tests; one that
    /// ends in `*` stands for all that begin so.
    ///
    /// # Panics
    /// Where that is not so.
    pub fn finish(self, elsewhere: &[&str]) {
        let Self { document, differences, seen } = self;
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
        let is_elsewhere = |path: &str| {
            elsewhere.iter().any(|known| match known.strip_suffix('*') {
                Some(beginning) => path.starts_with(beginning),
                None => path == *known,
            })
        };
        for (method, path) in document.operations() {
            for is_good in [true, false] {
                let is_seen = seen.contains(&(method.clone(), path.clone(), is_good));
                assert!(is_seen || is_elsewhere(&path), "{method} {path}: tried, good {is_good}");
            }
        }
    }
}

/// A document.
#[derive(Debug)]
struct Document(Value);

impl Document {
    /// Of a document's JSON.
    fn new(document: Value) -> Self {
        Self(document)
    }

    /// Every path with its methods, as the document writes them.
    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let methods = |item: &Value| item.as_object().expect("an item").keys().cloned().collect::<Vec<_>>();
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.clone()))).collect()
    }

    /// What in an answer differs from what the document says of it; empty where nothing does.
    fn differences(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        let responses = &operation["responses"];
        let (response, default) = (&responses[status.to_string()], &responses["default"]);
        if !response.is_object() {
            // Somebody else's answer, such as the chat backend's, of which the document says nothing.
            if default.is_object() && default["content"].is_null() {
                return Vec::new();
            }
            return vec![format!("{method} {path} answers {status} ({}), which is not documented", body["error_code"])];
        }
        let schema = &response["content"]["application/json"]["schema"];
        let mut found = self.broken(schema, body);
        found.extend(self.undocumented(schema, body, ""));
        if let Some(code) = body["error_code"].as_str()
            && !response["description"].as_str().is_some_and(|text| text.contains(&format!("`{code}`")))
        {
            found.push(format!("the description of {status} does not name `{code}`"));
        }
        found.into_iter().map(|difference| format!("{method} {path} {status}: {difference}")).collect()
    }

    /// Whether the document lets a body be sent.
    fn takes(&self, method: &str, path: &str, body: &Value) -> bool {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        self.broken(&operation["requestBody"]["content"]["application/json"]["schema"], body).is_empty()
    }

    /// The fields of an answer that its schema does not have. A schema without properties says nothing of fields.
    fn undocumented(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        match value {
            Value::Object(fields) => {
                let properties = self.properties(schema);
                if properties.is_empty() {
                    return Vec::new();
                }
                let found = fields.iter().flat_map(|(name, value)| match properties.get(name.as_str()) {
                    Some(schema) => self.undocumented(schema, value, &format!("{at}/{name}")),
                    None => vec![format!("{at}/{name} is not documented")],
                });
                found.collect()
            }
            Value::Array(items) => {
                let schema = &self.resolved(schema)["items"];
                items.iter().flat_map(|item| self.undocumented(schema, item, &format!("{at}/*"))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The properties of a schema, those of the schemas it is made of included.
    fn properties<'a>(&'a self, schema: &'a Value) -> HashMap<&'a str, &'a Value> {
        let schema = self.resolved(schema);
        let own = schema["properties"].as_object().into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
        let parts = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|kind| schema[kind].as_array()).flatten();
        own.chain(parts.flat_map(|part| self.properties(part))).collect()
    }

    /// What a reference is to.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|text| text.strip_prefix("#/components/schemas/"));
        name.map_or(schema, |name| &self.0["components"]["schemas"][name])
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
