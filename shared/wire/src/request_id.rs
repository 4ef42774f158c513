//! The id that ties one call's log lines, spans and answers together.

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};
use uuid::Builder;

use crate::time::now_unix_ms;

/// The header that carries it, both ways and between services.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 64;

/// A request's id: the caller's where it is well formed, else a new UUID v7.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id from `headers`, or makes one and puts it there. A caller's id is 1 to 64 of
    /// `A-Z a-z 0-9 . _ -`: anything else could forge log lines, so it is replaced.
    pub fn take_or_give(headers: &mut HeaderMap) -> Self {
        match headers.entry(X_REQUEST_ID) {
            Entry::Occupied(mut given) => {
                let id =
                    if is_well_formed(given.get().as_bytes()) { Self(given.get().clone()) } else { Self::generate() };
                // Once, whatever else was given.
                given.insert(id.0.clone());
                id
            }
            Entry::Vacant(place) => {
                let id = Self::generate();
                place.insert(id.0.clone());
                id
            }
        }
    }

    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        // It is no secret: the system's randomness, which takes a call into the kernel, is for those.
        let random = fastrand::u128(..).to_be_bytes();
        let now = u64::try_from(now_unix_ms()).unwrap_or_default();
        let [rest @ .., _, _, _, _, _, _] = random;
        let id = Builder::from_unix_timestamp_millis(now, &rest).into_uuid();
        let text = id.hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).expect("a UUID is a header value"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("only visible ASCII is taken")
    }

    /// The id as a header's value, and nothing else any more.
    #[must_use]
    pub fn into_header(self) -> HeaderValue {
        self.0
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_kept_only_where_it_cannot_forge_a_log_line() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).expect("a header value"));
            let id = RequestId::take_or_give(&mut headers).as_str().to_owned();
            assert_eq!(headers[X_REQUEST_ID], id, "what is sent on is what is logged");
            id
        };
        assert_eq!(with("call-7.a_B"), "call-7.a_B");
        for hostile in ["", "a b", "a\tb", "é", "{\"x\":1}", &"a".repeat(65)] {
            assert_ne!(with(hostile), hostile);
        }
    }
}
