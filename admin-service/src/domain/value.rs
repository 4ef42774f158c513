//! Reads one JSON value by the rules that settings share, and applies a patch. Each message says what is wrong.

use serde_json::{Map, Value};
use url::Url;

use super::refusal::{Refusal, RefusedField};

const LONGEST_URL: usize = 2048;

/// Lets `set` write each field that is present. It answers the field's name where its value changed, or what is wrong with it.
///
/// # Errors
/// Every field that is refused. What was patched is then half-written: throw it away.
pub(super) fn patch(
    fields: &Map<String, Value>,
    mut set: impl FnMut(&str, &Value) -> Result<Option<&'static str>, Refusal>,
) -> Result<Vec<&'static str>, Vec<RefusedField>> {
    let mut changed = Vec::new();
    let mut errors = Vec::new();
    for (field, value) in fields {
        match set(field, value) {
            Ok(name) => changed.extend(name),
            Err(Refusal { message, hint: None }) if value.is_null() => {
                errors.push(RefusedField::new(field, format!("{message}; null clears nullable fields only")));
            }
            Err(refusal) => errors.push(RefusedField::new(field, refusal)),
        }
    }
    if errors.is_empty() { Ok(changed) } else { Err(errors) }
}

pub(super) fn nullable<T>(value: &Value, read: impl FnOnce(&Value) -> Result<T, String>) -> Result<Option<T>, String> {
    if value.is_null() { Ok(None) } else { read(value).map(Some) }
}

/// Text that people read: not blank, bounded, and without control characters (one of which, NUL, no database takes).
pub(super) fn text(value: &Value, longest: usize) -> Result<String, String> {
    let Value::String(text) = value else { return Err("must be a string".to_owned()) };
    check_text(text, longest)?;
    Ok(text.clone())
}

fn check_text(text: &str, longest: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    if text.chars().count() > longest {
        return Err(format!("must have at most {longest} characters"));
    }
    if text.contains(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    Ok(())
}

pub(super) fn flag(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

pub(super) fn url(value: &Value, schemes: &[&str]) -> Result<Url, String> {
    let Value::String(text) = value else { return Err("must be a string".to_owned()) };
    url_text(text, schemes)
}

fn url_text(text: &str, schemes: &[&str]) -> Result<Url, String> {
    let expected = || format!("must be a URL that begins with {}://", schemes.join(":// or "));
    check_text(text, LONGEST_URL)?;
    let url = Url::parse(text).map_err(|_| expected())?;
    if !schemes.contains(&url.scheme()) || url.host().is_none() {
        return Err(expected());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    // As it is kept: escapes make it longer.
    if url.as_str().len() > LONGEST_URL {
        return Err(format!("must have at most {LONGEST_URL} characters once its characters are escaped"));
    }
    Ok(url)
}

pub(super) fn https_url(value: &Value) -> Result<String, String> {
    url(value, &["https"]).map(Url::into)
}

/// As [`https_url`], of a text that is no JSON.
pub(super) fn https_url_text(text: &str) -> Result<String, String> {
    url_text(text, &["https"]).map(Url::into)
}

pub(super) fn colour(value: &Value) -> Result<String, String> {
    match value.as_str().and_then(|text| text.strip_prefix('#')) {
        Some(digits) if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(format!("#{digits}"))
        }
        _ => Err("must be a colour such as #0055FF".to_owned()),
    }
}
