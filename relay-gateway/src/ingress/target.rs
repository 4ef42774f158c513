//! What a signed call is sent to, as the replay guard names it. Contract, section 4, *Replays*.
//!
//! Two spellings that a backend may take for one target must be one name here, or a captured call could be sent again under
//! another spelling. So escapes are decoded until nothing is left to decode, empty path segments and path parameters are dropped,
//! and a UUID is one value in all the forms that parsers accept. The rest of the query is no part of the name: adding to it
//! must not make another target.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use shared::{ApiError, ErrorCode, FieldError};
use smallvec::SmallVec;

use crate::limits::replays::Target;

/// Names the target of a call. `named` are the query parameters that are part of the name.
///
/// # Errors
/// A 422 where a named parameter is given twice: which of the two a backend takes is not known here.
pub(super) fn name(method: &Method, path: &str, query: Option<&str>, named: &[String]) -> Result<Target, ApiError> {
    let path = decode(path);
    let segments: SmallVec<[&str; 8]> = path_segments(&path).collect();
    let mut values: SmallVec<[Option<Cow<'_, str>>; 2]> = SmallVec::new();
    let mut twice = Vec::new();
    for name in named {
        // Some servers split at semicolons too, and some parameter names are matched whatever their case.
        let mut given = query.unwrap_or_default().split(['&', ';']).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            is_named(key, name).then_some(value)
        });
        values.push(given.next().map(value));
        if given.next().is_some() {
            twice.push(FieldError { field: name.clone(), message: "is given twice: send it once".to_owned() });
        }
    }
    if twice.is_empty() {
        Ok(Target::new((method.as_str(), segments, values)))
    } else {
        Err(ApiError::validation(twice))
    }
}

/// Whether a path has a `.` or `..` segment, however it is written and whatever parameters follow: it would leave the backend's
/// base path on some servers.
pub(super) fn leaves_base(rest: &str) -> bool {
    if !rest.contains(['.', '%']) {
        return false;
    }
    path_segments(&decode(rest)).any(|segment| matches!(segment, "." | ".."))
}

/// Refuses encoded control characters in a path, and NUL in a query: they end texts and lines on some servers.
///
/// # Errors
/// [`ErrorCode::MalformedRequest`].
pub(super) fn check_controls(path: &str, query: Option<&str>) -> Result<(), ApiError> {
    let in_path = path.contains('%') && decode(path).contains(|character: char| character.is_ascii_control());
    let in_query = query.is_some_and(|query| query.contains("%00") || query.contains("%2500"));
    if in_path || in_query {
        let message = "The URL holds an encoded control character. Send it without.";
        return Err(ApiError::new(ErrorCode::MalformedRequest, message));
    }
    Ok(())
}

/// Whether a path is this one, in any spelling.
pub(super) fn is_path(rest: &str, plain: &str) -> bool {
    rest == plain || path_segments(&decode(rest)).eq(plain.split('/'))
}

/// A decoded path's segments, without empty ones and without their parameters.
fn path_segments(decoded: &str) -> impl Iterator<Item = &str> {
    let segments = decoded.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default());
    segments.filter(|segment| !segment.is_empty())
}

/// Whether a parameter's key, as it was sent, is this name.
fn is_named(key: &str, name: &str) -> bool {
    let key = if key.contains(['%', '+']) { Cow::Owned(decode(key).replace('+', " ")) } else { Cow::Borrowed(key) };
    key.trim().eq_ignore_ascii_case(name)
}

/// A parameter's value as backends may read it.
fn value(text: &str) -> Cow<'_, str> {
    let decoded = decode(text);
    // A plus is a plus to some and a space to others: one value here.
    let plain = if decoded.contains('+') { Cow::Owned(decoded.replace('+', " ")) } else { decoded };
    uuid(&plain).map_or(plain, Cow::Owned)
}

/// The 32 digits of a UUID in any form that parsers accept: with or without hyphens and braces, as a URN, in either case.
fn uuid(text: &str) -> Option<String> {
    if !(32..=64).contains(&text.len()) {
        return None;
    }
    let plain = text.trim().to_ascii_lowercase().replace("urn:", "").replace("uuid:", "").replace(['{', '}', '-'], "");
    (plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(plain)
}

/// Decodes escapes until there are none left: a server behind a proxy may decode twice.
fn decode(text: &str) -> Cow<'_, str> {
    let mut decoded = Cow::Borrowed(text);
    // Each round shortens the text, so this ends.
    while decoded.contains('%') {
        let next = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if next == *decoded {
            break;
        }
        decoded = Cow::Owned(next);
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f";

    fn target(method: Method, path_and_query: &str) -> Result<Target, ApiError> {
        let (path, query) = path_and_query.split_once('?').map_or((path_and_query, None), |(p, q)| (p, Some(q)));
        name(&method, path, query, &["conversation_id".to_owned()])
    }

    fn post(path_and_query: &str) -> Target {
        target(Method::POST, path_and_query).expect("a target")
    }

    #[test]
    fn another_spelling_is_no_other_target() {
        let there = post(&format!("add/message?conversation_id={ID}"));
        let upper = ID.to_uppercase();
        let simple = ID.replace('-', "");
        for spelling in [
            format!("add/message?conversation_id={ID}&x=1"),
            format!("add/message?x=1&conversation_id={ID}"),
            format!("add/message?conversation%5Fid={ID}"),
            format!("add/message?Conversation_ID={ID}"),
            format!("add/message?conversation_id=%30{}", &ID[1..]),
            format!("add/message?conversation_id=%2530{}", &ID[1..]),
            format!("add/message?conversation_id={upper}"),
            format!("add/message?conversation_id={simple}"),
            format!("add/message?conversation_id=%7B{ID}%7D"),
            format!("add/message?conversation_id=urn:uuid:{ID}"),
            format!("add/message?conversation_id=%20{ID}"),
            format!("add/message?conversation_id={ID}+"),
            format!("add%2Fmessage?conversation_id={ID}"),
            format!("add/messag%65?conversation_id={ID}"),
            format!("add/messag%2565?conversation_id={ID}"),
            format!("add//message/?conversation_id={ID}"),
            format!("add/message;v=1?conversation_id={ID}"),
            format!("add/message?x=1;conversation_id={ID}"),
        ] {
            assert_eq!(post(&spelling), there, "{spelling}");
        }
        for other in [
            "add/message".to_owned(),
            "add/message?conversation_id=".to_owned(),
            format!("add/messages?conversation_id={ID}"),
            format!("add/message?conversation_id={}1", &ID[..35]),
            format!("add/message?xconversation_id={ID}"),
        ] {
            assert_ne!(post(&other), there, "{other}");
        }
        assert_ne!(target(Method::PUT, &format!("add/message?conversation_id={ID}")).expect("a target"), there);
        assert_eq!(post("a?conversation_id=x+y"), post("a?conversation_id=x%2By"), "a plus may be a space");
        assert_eq!(post("a?conversation_id=x%20y"), post("a?conversation_id=x%2By"));
    }

    #[test]
    fn a_named_parameter_given_twice_is_refused() {
        for twice in [
            "a?conversation_id=1&conversation_id=2",
            "a?conversation_id=1&conversation_id=1",
            "a?conversation_id=1&conversation%5fid=2",
            "a?conversation_id=1;conversation_id=2",
            "a?conversation_id=1&CONVERSATION_ID=2",
        ] {
            let error = target(Method::POST, twice).expect_err(twice);
            assert_eq!(error.errors()[0].field, "conversation_id");
        }
    }
}
