//! What a message's attachments must be (PROTOCOL.md, section 4.8): one check, at the gateway and at the chat backend.
//!
//! The published client reads a page of messages whole or not at all, so one attachment that it cannot read would hide all the
//! others.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::frames::limits::{
    ATTACHMENT_MIME_CHARS, ATTACHMENT_NAME_CHARS, ATTACHMENT_SIZE, ATTACHMENT_TYPE_CHARS, ATTACHMENT_URL_CHARS,
};

/// The pictures that browsers show on a page (PROTOCOL.md, section 5.12). The chat backend names one of these types only if the content is of
/// the type, so the gateway may let a browser show it.
pub const SHOWN_PICTURES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// A file that goes with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Attachment {
    /// `image`, `audio`, `video` or `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The media type, such as `image/png`.
    pub mime: String,
    /// Bytes.
    #[cfg_attr(test, ts(type = "number"))]
    pub size: u64,
    /// Where the file is: http or https.
    pub url: String,
    /// The file's name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub name: Option<String>,
}

/// Reads a list of attachments, each written anew with the fields of PROTOCOL.md, section 4.8.
///
/// # Errors
/// What is wrong with which of them.
pub fn read(given: Value, most: usize) -> Result<Vec<Attachment>, String> {
    let Value::Array(items) = given else { return Err("must be a list".to_owned()) };
    if items.len() > most {
        return Err(format!("must be a list of at most {most}"));
    }
    let numbered = items.into_iter().enumerate();
    numbered.map(|(index, item)| one(item).map_err(|wrong| format!("entry {}: {wrong}", index + 1))).collect()
}

/// Those of a stored list that readers can read: a chat backend may have taken others before it checked them.
#[must_use]
pub fn readable(stored: Value) -> Vec<Attachment> {
    let Value::Array(items) = stored else { return Vec::new() };
    items.into_iter().filter_map(|item| one(item).ok()).collect()
}

fn one(item: Value) -> Result<Attachment, String> {
    let Value::Object(mut fields) = item else { return Err("must be an object".to_owned()) };
    let kind = text(&mut fields, "type", ATTACHMENT_TYPE_CHARS)?;
    let mime = text(&mut fields, "mime", ATTACHMENT_MIME_CHARS)?;
    if !mime.split_once('/').is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty()) {
        return Err("mime must be a media type such as image/png".to_owned());
    }
    let size = fields.remove("size").as_ref().and_then(Value::as_u64).filter(|size| *size <= ATTACHMENT_SIZE);
    let size = size.ok_or("size must be a whole number of bytes from 0")?;
    let url = text(&mut fields, "url", ATTACHMENT_URL_CHARS)?;
    if !is_web_address(&url) {
        return Err("url must begin with http:// or https://".to_owned());
    }
    let name = match fields.get("name") {
        None | Some(Value::Null) => None,
        Some(_) => Some(text(&mut fields, "name", ATTACHMENT_NAME_CHARS)?),
    };
    fields.remove("name");
    if let Some(other) = fields.keys().next() {
        let other: String = other.chars().take(50).collect();
        return Err(format!("has type, mime, size, url and name, and no {other:?}"));
    }
    Ok(Attachment { kind, mime, size, url, name })
}

fn text(fields: &mut Map<String, Value>, name: &str, longest: usize) -> Result<String, String> {
    match fields.remove(name) {
        Some(Value::String(text))
            if !text.trim().is_empty() && text.chars().count() <= longest && !text.contains('\0') =>
        {
            Ok(text)
        }
        _ => Err(format!("{name} must be a text of 1 to {longest} characters")),
    }
}

/// Whether a text is the address of something on the web: http or https, with a host and without spaces.
#[must_use]
pub(crate) fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({"type": "image", "mime": "image/png", "size": 0, "url": "https://cdn.example.com/a.png"})
    }

    #[test]
    fn documented_fields_are_taken_and_written_anew() {
        let mut named = good();
        named["name"] = "a.png".into();
        let mut unnamed = good();
        unnamed["name"] = Value::Null;
        let taken = read(json!([good(), named, unnamed]), 3).expect("taken");
        assert_eq!(json!(taken), json!([good(), named, good()]));
        assert_eq!(read(json!([]), 3), Ok(Vec::new()));
    }

    #[test]
    fn anything_else_is_refused() {
        let with = |field: &str, value: Value| {
            let mut item = good();
            item[field] = value;
            item
        };
        let without = |field: &str| {
            let mut item = good();
            item.as_object_mut().expect("an object").remove(field);
            item
        };
        for hostile in [
            json!({}),
            json!("a"),
            json!(null),
            json!([]),
            without("type"),
            without("mime"),
            without("size"),
            without("url"),
            with("type", json!(7)),
            with("type", json!(" ")),
            with("mime", json!("png")),
            with("mime", json!("/")),
            with("size", json!(-1)),
            with("size", json!(1.5)),
            with("size", json!("1")),
            with("size", json!(u64::MAX)),
            with("size", json!(null)),
            with("url", json!("javascript:alert(1)")),
            with("url", json!("data:text/html,x")),
            with("url", json!("ftp://example.com/a")),
            with("url", json!("//example.com/a")),
            with("url", json!("/a")),
            with("url", json!("java\nscript:alert(1)")),
            with("url", json!(" https://example.com")),
            with("url", json!("https://exa\tmple.com")),
            with("url", json!(format!("https://example.com/{}", "a".repeat(ATTACHMENT_URL_CHARS)))),
            with("url", json!("https://example.com/\u{0}")),
            with("name", json!("")),
            with("name", json!({})),
            with("onload", json!("x")),
        ] {
            assert!(read(json!([good(), hostile]), 20).is_err(), "{hostile}");
            assert_eq!(json!(readable(json!([hostile, good()]))), json!([good()]), "{hostile}");
        }
        assert!(read(json!({}), 20).is_err() && read(json!("a"), 20).is_err());
        assert!(read(json!([good(), good()]), 1).is_err());
    }
}
