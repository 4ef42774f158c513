//! Which headers cross the relay, and which concern one connection or one secret only.

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

/// Headers under this prefix are the relay's own word: a caller's are dropped.
const RELAY_PREFIX: &str = "x-relay-";

/// Takes out of a request what must not reach any upstream.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    strip(headers, is_set_anew);
}

/// Length and host are set for each request. `Expect` is dropped, because the body is already here.
fn is_set_anew(name: &str) -> bool {
    matches!(name, "content-length" | "host" | "expect") || concerns_one_connection(name)
}

/// Takes out of a request what must not reach the chat backend: all of that, and the operators' key.
pub(super) fn strip_call(headers: &mut HeaderMap) {
    strip(headers, |name| matches!(name, "x-admin-key" | "x_admin_key") || is_set_anew(name));
}

/// Takes out of an answer what concerned the upstream's connection or is between it and the relay.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip(headers, concerns_one_connection);
}

/// RFC 9110, section 7.6.1, and the historical ones proxies still meet.
fn concerns_one_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What `Connection` must not name away: without them the other end reads something else than was meant.
const KEPT: [&str; 4] = ["x-request-id", "content-type", "content-encoding", "content-length"];

/// Takes out what `is_dropped` names, what `Connection` names, and the relay's own. A message has few
/// headers, so those that are there are looked at rather than those that could be.
fn strip(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .filter(|name| !KEPT.contains(&name.as_str()));
    let ours = headers.keys().filter(|name| is_dropped(name.as_str()) || is_relays_own(name.as_str()));
    let dropped: SmallVec<[HeaderName; 4]> = named.chain(ours.cloned()).collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Whether a name is under the relay's prefix. Servers that put headers into variables take an underscore for a hyphen.
fn is_relays_own(name: &str) -> bool {
    let prefix = name.as_bytes().get(..RELAY_PREFIX.len());
    prefix.is_some_and(|prefix| {
        prefix.iter().zip(RELAY_PREFIX.bytes()).all(|(byte, wanted)| *byte == wanted || *byte == b'_' && wanted == b'-')
    })
}

/// Leaves an answer with one idea of how long it is. A chunked body's end is in its chunks, whatever length is claimed beside
/// it (RFC 9112, section 6.3): passed on, that claim would cut the body short.
pub(super) fn settle_length(headers: &mut HeaderMap) {
    let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let is_one_number = match (lengths.next(), lengths.next()) {
        (None, _) => return,
        (Some(length), None) => !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit),
        (Some(_), Some(_)) => false,
    };
    if is_chunked || !is_one_number {
        headers.remove(header::CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_or_one_secret_stays_here() {
        let mut request = headers(&[
            ("connection", "close, X-Per-Hop"),
            ("connection", "x-second, X-Request-Id, content-type"),
            ("x-request-id", "r1"),
            ("x_relay_tenant_id", "forged"),
            ("x-relay_actor", "forged"),
            ("X_Relay-Signature", "forged"),
            ("x_admin_key", "k"),
            ("x-per-hop", "1"),
            ("x-second", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eA=="),
            ("host", "relay.example.com"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("x-admin-key", "k"),
            ("x-relay-tenant-id", "forged"),
            ("x-relay-anything", "forged"),
            ("content-type", "application/json"),
            ("x-custom", "kept"),
            ("cookie", "a=1"),
        ]);
        strip_call(&mut request);
        let mut left: Vec<_> = request.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "cookie", "x-custom", "x-request-id"]);
    }

    #[test]
    fn an_answer_has_one_idea_of_its_length() {
        for (fields, kept) in [
            (&[("content-length", "3")][..], true),
            (&[("content-length", "3"), ("transfer-encoding", "chunked")], false),
            (&[("content-length", "3"), ("content-length", "3")], false),
            (&[("content-length", "3, 3")], false),
            (&[("content-length", "+3")], false),
            (&[], false),
        ] {
            let mut answer = headers(fields);
            settle_length(&mut answer);
            assert_eq!(answer.contains_key("content-length"), kept, "{fields:?}");
        }
    }

    #[test]
    fn an_answer_keeps_its_length_and_loses_its_hops() {
        let mut answer = headers(&[
            ("content-length", "3"),
            ("connection", "x-a"),
            ("x-a", "1"),
            ("x-relay-debug", "1"),
            ("etag", "e"),
        ]);
        strip_response(&mut answer);
        let mut left: Vec<_> = answer.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "etag"]);
    }
}
