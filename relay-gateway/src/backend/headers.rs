//! Which headers cross the relay, and which concern one connection or one secret only.

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

/// Headers under this prefix are the relay's own word: a caller's are dropped.
const RELAY_PREFIX: &str = "x-relay-";

/// Takes out of a request what must not reach any upstream.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| {
        // Length and host are set anew with each request. The body is here already: nobody is to be asked whether it may come.
        matches!(name, "content-length" | "host" | "expect") || concerns_one_connection(name)
    });
}

/// Takes out of a request what must not reach the chat backend: all of that, and the operators' key.
pub(super) fn strip_call(headers: &mut HeaderMap) {
    strip_request(headers);
    headers.remove("x-admin-key");
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

/// Takes out what `is_dropped` names, what `Connection` names, and the relay's own. A message has few
/// headers, so those that are there are looked at rather than those that could be.
fn strip(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let named = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok());
    let ours = headers.keys().filter(|name| is_dropped(name.as_str()) || name.as_str().starts_with(RELAY_PREFIX));
    let dropped: SmallVec<[HeaderName; 4]> = named.chain(ours.cloned()).collect();
    for name in dropped {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_or_one_secret_stays_here() {
        let mut request = headers(&[
            ("connection", "close, X-Per-Hop"),
            ("connection", "x-second"),
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
        assert_eq!(left, ["content-type", "cookie", "x-custom"]);
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
