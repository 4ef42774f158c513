//! Which headers cross the relay, and which concern one connection or one secret only.

use http::{HeaderMap, HeaderName, header};

use crate::domain::admission;

/// RFC 9110, section 7.6.1, and the historical ones proxies still meet.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers under this prefix are the relay's own word: a caller's are dropped.
const RELAY_PREFIX: &str = "x-relay-";

/// Takes out of a request what must not reach any upstream. Length and host are set anew by the client.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    // The body is here already: nobody is to be asked whether it may come.
    for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT] {
        headers.remove(name);
    }
    strip_relays_own(headers);
}

/// Takes out of a request what proved the caller to the relay and is nothing to the chat backend.
pub(super) fn strip_credentials(headers: &mut HeaderMap) {
    for name in
        [admission::TENANT_ID, admission::TIMESTAMP, admission::SIGNATURE, HeaderName::from_static("x-admin-key")]
    {
        headers.remove(name);
    }
}

/// Takes out of an answer what concerned the upstream's connection or is between it and the relay.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip_relays_own(headers);
}

fn strip_relays_own(headers: &mut HeaderMap) {
    let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(RELAY_PREFIX)).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// Takes out what concerns one connection: the named ones, and those `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
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
            ("x-bloonio-tenant-id", "t"),
            ("x-bloonio-timestamp", "1"),
            ("x-bloonio-signature", "s"),
            ("x-admin-key", "k"),
            ("x-relay-tenant-id", "forged"),
            ("x-relay-anything", "forged"),
            ("content-type", "application/json"),
            ("x-custom", "kept"),
            ("cookie", "a=1"),
        ]);
        strip_request(&mut request);
        strip_credentials(&mut request);
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
