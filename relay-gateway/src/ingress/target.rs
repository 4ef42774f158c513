//! What a signed call is sent to: the path as backends may read it, and the target as the replay guard names it. PROTOCOL.md,
//! section 4, *Replays*.
//!
//! Two spellings that a backend may take for one target must be one name here, or a captured call could be sent again under
//! another spelling. So escapes are decoded, empty path segments and path parameters are dropped, and case and punctuation of an
//! id do not count: parsers of UUIDs accept braces, hyphens and underscores in many places. The rest of the query is no part of
//! the name: adding to it must not make another target.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use service::ApiError;
use smallvec::SmallVec;
use wire::{ErrorCode, FieldError};

use crate::limits::Target;

/// How often a text is decoded: a server behind a proxy may decode twice. What is encoded more often is refused, for each round
/// costs as much as the text is long.
const MOST_ROUNDS: usize = 3;

/// A path below `/relay/` as backends may read it.
pub(super) struct Path<'a> {
    text: Cow<'a, str>,
    /// Whether it has one spelling, but for its case: letters, digits, hyphens and underscores between single slashes. Almost all
    /// have, and need no second look.
    is_plain: bool,
}

impl<'a> Path<'a> {
    /// Decodes a path and makes sure that it stays below the backend's base.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] where a `.` or `..` segment would leave the base on some servers, [`ErrorCode::MalformedRequest`]
    /// where an encoded control character would end a text or a line, or where something is encoded again and again.
    pub(super) fn read(rest: &'a str, query: Option<&str>) -> Result<Self, ApiError> {
        let text = decode(rest)?;
        let path = Self { is_plain: is_plain(&text), text };
        let in_query = query.is_some_and(|query| query.contains("%00") || query.contains("%2500"));
        if path.is_plain && !in_query {
            return Ok(path);
        }
        if path.text.is_empty() || path.segments().any(|segment| matches!(segment, "." | "..")) {
            return Err(ApiError::new(ErrorCode::NotFound, "There is nothing at this path."));
        }
        if in_query || path.text.contains(|character: char| character.is_ascii_control()) {
            return Err(malformed("The URL holds an encoded control character. Send it without."));
        }
        Ok(path)
    }

    /// Its segments, without empty ones and without their parameters.
    fn segments(&self) -> impl Iterator<Item = &str> {
        let segments =
            self.text.split(['/', '\\']).map(|segment| segment.split_once(';').map_or(segment, |(plain, _)| plain));
        segments.filter(|segment| !segment.is_empty())
    }

    /// Whether it is this one, in any spelling: some servers match paths whatever their case.
    pub(super) fn is(&self, plain: &str) -> bool {
        if self.is_plain {
            return self.text.eq_ignore_ascii_case(plain);
        }
        let mut wanted = plain.split('/');
        self.segments().all(|segment| wanted.next().is_some_and(|wanted| wanted.eq_ignore_ascii_case(segment)))
            && wanted.next().is_none()
    }

    /// Whether its first segment is this one, in any spelling.
    pub(super) fn begins_with(&self, segment: &str) -> bool {
        self.segments().next().is_some_and(|first| first.eq_ignore_ascii_case(segment))
    }

    /// Names the target of a call to it. `named` are the query parameters that are part of the name.
    ///
    /// # Errors
    /// A 422 where a named parameter is given twice: which of the two a backend takes is not known here.
    pub(super) fn target(&self, method: &Method, query: Option<&str>, named: &[String]) -> Result<Target, ApiError> {
        let mut name: SmallVec<[u8; 128]> = SmallVec::new();
        let mut push_segment = |segment: &str| {
            name.push(b'/');
            let begin = name.len();
            name.extend_from_slice(segment.as_bytes());
            name[begin..].make_ascii_lowercase();
        };
        if self.is_plain {
            push_segment(&self.text)
        } else {
            self.segments().for_each(push_segment)
        }
        let mut twice = Vec::new();
        for parameter in named {
            // Some servers split at semicolons too.
            let mut given = None;
            for pair in query.unwrap_or_default().split(['&', ';']) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                if !is_named(key, parameter)? {
                    continue;
                }
                if given.replace(value).is_some() {
                    let message = "is given twice: send it once".to_owned();
                    twice.push(FieldError { field: parameter.clone(), message });
                    break;
                }
            }
            name.push(if given.is_some() { b'=' } else { b'-' });
            push_value(&mut name, &decode(given.unwrap_or_default())?);
        }
        if twice.is_empty() { Ok(Target::new(method.as_str(), &name)) } else { Err(ApiError::validation(twice)) }
    }
}

fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().all(|byte| {
        let is_empty_segment = byte == b'/' && before == b'/';
        before = byte;
        !is_empty_segment && (byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_'))
    }) && before != b'/'
}

/// Whether a parameter's key, as it was sent, is this name. Some servers match it whatever its case, and some take a point, a space
/// or a bracket for an underscore.
fn is_named(key: &str, name: &str) -> Result<bool, ApiError> {
    if key.eq_ignore_ascii_case(name) {
        return Ok(true);
    }
    if key.len() < name.len() {
        return Ok(false);
    }
    let plain = decode(key)?.to_ascii_lowercase().replace(['.', ' ', '+', '['], "_");
    Ok(plain.trim_matches(['_', ']']) == name.to_ascii_lowercase().trim_matches(['_', ']']))
}

/// Writes an id's letters and digits, in lower case and without leading zeros.
fn push_value(name: &mut SmallVec<[u8; 128]>, value: &str) {
    if value.bytes().all(|byte| byte.is_ascii() && byte != b':') {
        let letters = value.bytes().filter(u8::is_ascii_alphanumeric).skip_while(|letter| *letter == b'0');
        name.extend(letters.map(|letter| letter.to_ascii_lowercase()));
        return;
    }
    let without_urn = || Cow::Owned(value.to_ascii_lowercase().replace("urn:", "").replace("uuid:", ""));
    let value = if value.contains(':') { without_urn() } else { Cow::Borrowed(value) };
    let letters =
        value.chars().filter(|character| character.is_alphanumeric()).skip_while(|character| *character == '0');
    for letter in letters.flat_map(char::to_lowercase) {
        name.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Decodes escapes until there are none left.
///
/// # Errors
/// [`ErrorCode::MalformedRequest`] where there are some after all rounds.
fn decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    let mut decoded = Cow::Borrowed(text);
    for _ in 0..MOST_ROUNDS {
        if !has_escape(&decoded) {
            return Ok(decoded);
        }
        decoded = Cow::Owned(percent_decode_str(&decoded).decode_utf8_lossy().into_owned());
    }
    if has_escape(&decoded) {
        Err(malformed("The URL is encoded again and again. Encode it once."))
    } else {
        Ok(decoded)
    }
}

fn has_escape(text: &str) -> bool {
    text.contains('%')
        && text
            .as_bytes()
            .windows(3)
            .any(|window| window[0] == b'%' && window[1].is_ascii_hexdigit() && window[2].is_ascii_hexdigit())
}

fn malformed(message: &'static str) -> ApiError {
    ApiError::new(ErrorCode::MalformedRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f";

    fn target(method: Method, path_and_query: &str) -> Result<Target, ApiError> {
        let (path, query) = path_and_query.split_once('?').map_or((path_and_query, None), |(p, q)| (p, Some(q)));
        Path::read(path, query)?.target(&method, query, &["conversation_id".to_owned()])
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
            format!("Add/Message?conversation_id={ID}"),
            format!("add/message?conversation_id={}", ID.replace('0', "0_").replace("1-", "1--")),
            format!("add/message?conversation_id={}{ID}{}", "{".repeat(50), "}".repeat(50)),
            format!("add/message?conversation_id={}{ID}", "%20".repeat(90)),
            format!("add/message?conversation_id=%2B{ID}"),
            format!("add/message?conversation_id=urn:urn:uuid:{ID}"),
            format!("add/message?conversation.id={ID}"),
            format!("add/message?conversation%5Bid={ID}"),
            format!("add/message?conversation_id%5B%5D={ID}"),
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
        assert_eq!(post("a?conversation_id=7"), post("a?conversation_id=007%20"));
        assert_ne!(post("a?conversation_id=7"), post("a?conversation_id=70"));
    }

    #[test]
    fn what_is_encoded_again_and_again_is_refused_at_once() {
        let deep = format!("a{}41", "%25".repeat(20_000));
        let nested = format!("a%{}41", "25".repeat(20_000));
        for hostile in [format!("{nested}?x=1"), format!("a?conversation_id={nested}"), format!("a?{nested}=1")] {
            let begun = std::time::Instant::now();
            let error = target(Method::POST, &hostile).expect_err("refused");
            assert_eq!(error.code(), ErrorCode::MalformedRequest);
            assert!(begun.elapsed() < std::time::Duration::from_millis(500), "{:?}", begun.elapsed());
        }
        target(Method::POST, &deep).expect("many escapes, and each of them once");
        target(Method::POST, "a%2525?conversation_id=100%25").expect("a percent sign is one");
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
