//! The id that ties one call's log lines, spans and answers together.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;

use crate::time::now_unix_ms;

/// The header that carries it, both ways and between services.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 64;

/// A request's id: the caller's where it is well formed, else a new UUID v7.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id from `headers`, or makes one. A caller's id is 1 to 64 of `A-Z a-z 0-9 . _ -`:
    /// anything else could forge log lines, so it is replaced.
    #[must_use]
    pub fn take_or_generate(headers: &HeaderMap) -> Self {
        match headers.get(&X_REQUEST_ID) {
            Some(value) if is_well_formed(value.as_bytes()) => Self(value.clone()),
            _ => Self::generate(),
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

    /// The id as a header's value.
    #[must_use]
    pub fn as_header(&self) -> &HeaderValue {
        &self.0
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
            RequestId::take_or_generate(&headers).as_str().to_owned()
        };
        assert_eq!(with("call-7.a_B"), "call-7.a_B");
        for hostile in ["", "a b", "a\tb", "é", "{\"x\":1}", &"a".repeat(65)] {
            assert_ne!(with(hostile), hostile);
        }
    }
}
