//! Reading the fields of a JSON object one by one, with every refused field named.
//!
//! Fields nobody asks for are ignored: a newer client may send more than this version knows.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    attachments::{self, Attachment, is_web_address},
    error_code::FieldError,
    frames::limits::EMAIL_CHARS,
};

/// The longest text of a time, in characters: with nanoseconds and a zone there is room.
const LONGEST_TIME: usize = 64;

/// Every field of an object that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFields(pub Vec<FieldError>);

/// A JSON object being read. `null` counts as absent.
#[derive(Debug)]
pub struct Fields {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Begins to read.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { fields, errors: Vec::new() }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// Notes a refused field.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// Notes a field that is missing, unless it was refused for another reason.
    pub fn require(&mut self, name: &str, message: impl Into<String>) {
        if !self.errors.iter().any(|error| error.field == name) {
            self.refuse(name, message);
        }
    }

    /// A text that must be there: not blank, at most `longest` characters. Empty where it was refused.
    pub fn text(&mut self, name: &str, longest: usize) -> String {
        match self.optional_text(name, longest) {
            Some(text) => text,
            None => {
                self.require(name, "is required");
                String::new()
            }
        }
    }

    /// A text that may be absent: not blank, at most `longest` characters, no NUL.
    pub fn optional_text(&mut self, name: &str, longest: usize) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.trim().is_empty() => self.refuse(name, "must not be blank"),
            Value::String(text) if text.chars().count() > longest => {
                self.refuse(name, format!("must have at most {longest} characters"));
            }
            Value::String(text) if text.contains('\0') => self.refuse(name, "must not hold NUL characters"),
            Value::String(text) => return Some(text),
            _ => self.refuse(name, "must be a string"),
        }
        None
    }

    /// The address of something on the web, which may be absent or null.
    pub fn optional_web_address(&mut self, name: &str, longest: usize) -> Option<String> {
        let text = self.optional_text(name, longest)?;
        if is_web_address(&text) {
            return Some(text);
        }
        self.refuse(name, "must begin with http:// or https://");
        None
    }

    /// One e-mail address that must be there, without a name around it. Empty where it was refused.
    pub fn mailbox(&mut self, name: &str) -> String {
        let address = self.text(name, EMAIL_CHARS);
        if address.is_empty() || is_mailbox(&address) {
            return address;
        }
        self.refuse(name, "must be one e-mail address, such as ada@example.com");
        String::new()
    }

    /// A time that must be there. The Unix epoch where it was refused.
    pub fn time(&mut self, name: &str) -> Timestamp {
        self.optional_time(name).unwrap_or_else(|| {
            self.require(name, "is required");
            Timestamp::UNIX_EPOCH
        })
    }

    /// A time that may be absent, as RFC 3339 writes it.
    pub fn optional_time(&mut self, name: &str) -> Option<Timestamp> {
        let read = self.optional_text(name, LONGEST_TIME)?.parse().ok();
        if read.is_none() {
            self.refuse(name, "must be a time such as 2026-11-26T10:00:00.000Z");
        }
        read
    }

    /// One of a few texts, or the default.
    pub fn choice(&mut self, name: &str, choices: &[&'static str], default: &'static str) -> &'static str {
        let Some(value) = self.take(name) else { return default };
        if let Some(choice) = choices.iter().find(|choice| value.as_str() == Some(**choice)) {
            return choice;
        }
        self.refuse(name, format!("must be one of {}", choices.join(", ")));
        default
    }

    /// A list of texts, each not blank and at most `longest` characters; at most `most` of them.
    pub fn optional_texts(&mut self, name: &str, most: usize, longest: usize) -> Option<Vec<String>> {
        let problem = format!("must be a list of at most {most} texts of 1 to {longest} characters");
        let Value::Array(items) = self.take(name)? else {
            self.refuse(name, problem);
            return None;
        };
        let texts: Vec<String> = items
            .iter()
            .filter_map(Value::as_str)
            .filter(|text| !text.trim().is_empty() && text.chars().count() <= longest && !text.contains('\0'))
            .map(str::to_owned)
            .collect();
        if texts.len() != items.len() || items.len() > most {
            self.refuse(name, problem);
            return None;
        }
        Some(texts)
    }

    /// Whether something is so; `false` where absent.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.refuse(name, "must be true or false");
                false
            }
        }
    }

    /// A whole number in a range, or the default.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.take(name) else { return default };
        match value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.refuse(name, format!("must be a whole number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    /// An object of any fields whose JSON is at most `longest` bytes; empty where absent.
    pub fn object(&mut self, name: &str, longest: usize) -> Map<String, Value> {
        match self.take(name) {
            None => Map::new(),
            Some(Value::Object(object)) if is_storable(&Value::Object(object.clone()), longest) => object,
            Some(_) => {
                self.refuse(name, format!("must be an object of at most {longest} bytes without NUL characters"));
                Map::new()
            }
        }
    }

    /// A message's attachments, `most` at most; empty where absent.
    pub fn attachments(&mut self, name: &str, most: usize) -> Vec<Attachment> {
        match self.take(name).map(|given| attachments::read(given, most)) {
            None => Vec::new(),
            Some(Ok(attachments)) => attachments,
            Some(Err(wrong)) => {
                self.refuse(name, wrong);
                Vec::new()
            }
        }
    }

    /// Refuses every field that was not read: where one that is misspelt would be silently without effect.
    pub fn refuse_others(&mut self) {
        for name in std::mem::take(&mut self.fields).into_iter().map(|(name, _)| name) {
            // A field's name is the caller's text: a huge one is not worth echoing whole.
            let name: String = name.chars().take(100).collect();
            self.refuse(&name, "is not a field here; the API reference is at /docs");
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every refused field.
    pub fn finish(self) -> Result<(), RefusedFields> {
        if self.errors.is_empty() { Ok(()) } else { Err(RefusedFields(self.errors)) }
    }
}

/// Whether a text has the form of one address. Whether the address exists, its mail server alone knows.
fn is_mailbox(address: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || r#"<>()[],;:\""#.contains(c))
    };
    address.rsplit_once('@').is_some_and(|(local, domain)| {
        is_part(local) && !local.contains('@') && is_part(domain) && domain.split('.').all(|label| !label.is_empty())
    })
}

/// Whether every database takes it: PostgreSQL's JSON holds no NUL, neither in texts nor in names.
fn is_storable(value: &Value, longest: usize) -> bool {
    fn has_nul(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(has_nul),
            Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    value.to_string().len() <= longest && !has_nul(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_read_is_refused_where_that_is_asked_for() {
        let Value::Object(object) = json!({"name": "n", "expiresAt": "2027", "note": null}) else {
            panic!("an object")
        };
        let mut fields = Fields::new(object);
        fields.text("name", 10);
        fields.refuse_others();
        let names: Vec<_> = fields.finish().expect_err("refused").0.iter().map(|e| e.field.clone()).collect();
        assert_eq!(names, ["expiresAt", "note"]);
    }

    #[test]
    fn what_no_database_would_take_is_refused() {
        for hostile in [json!({"a": "\0"}), json!({"\0": 1}), json!({"a": [{"b": ["x\0"]}]})] {
            let Value::Object(object) = json!({"metadata": hostile}) else { panic!("an object") };
            let mut fields = Fields::new(object);
            fields.object("metadata", 100);
            assert_eq!(fields.finish().expect_err("refused").0.len(), 1, "{hostile}");
        }
        let Value::Object(object) = json!({"metadata": {"a": "\\u0000"}}) else { panic!("an object") };
        let mut fields = Fields::new(object);
        assert_eq!(fields.object("metadata", 100).len(), 1, "a backslash is none");
        fields.finish().expect("taken");
    }

    #[test]
    fn a_time_is_read_as_rfc_3339_writes_it() {
        let read = |value: Value| {
            let mut fields = Fields::new(Map::from_iter([("at".to_owned(), value)]));
            let at = fields.time("at");
            fields.finish().map(|()| at.to_string()).map_err(|RefusedFields(errors)| errors[0].message.clone())
        };
        for text in ["2026-11-26T10:00:00Z", "2026-11-26T11:00:00.000+01:00"] {
            assert_eq!(read(text.into()).as_deref(), Ok("2026-11-26T10:00:00Z"), "{text}");
        }
        for wrong in [json!("now"), json!("2026-11-26"), json!("2026-13-01T00:00:00Z"), json!(1), json!("x".repeat(65))]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(read(Value::Null), Err("is required".to_owned()));
    }

    #[test]
    fn every_refused_field_is_named_once() {
        let Value::Object(object) = json!({
            "email": 7, "name": " ", "keys": ["a", ""], "ttl": 59, "role": "king", "meta": [], "items": [1]
        }) else {
            panic!("an object")
        };
        let mut fields = Fields::new(object);
        fields.text("email", 10);
        fields.text("name", 10);
        fields.text("absent", 10);
        fields.optional_texts("keys", 3, 10);
        fields.number("ttl", 60..=100, 60);
        fields.choice("role", &["visitor", "agent"], "visitor");
        fields.object("meta", 10);
        fields.attachments("items", 1);
        let error = fields.finish().expect_err("refused");
        let names: Vec<_> = error.0.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(names, ["email", "name", "absent", "keys", "ttl", "role", "meta", "items"]);
    }
}
