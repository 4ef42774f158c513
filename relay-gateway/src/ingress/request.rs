//! What every handler reads of a request.

use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderMap, header};
use service::serve::Peer;
use wire::request_id::RequestId;

use super::client_address::behind_proxies;
use crate::config::{List, Network};

/// The address a request came from, behind the proxies we trust.
pub(super) fn client_address(request: &Request, trusted: &List<Network>) -> IpAddr {
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.address.ip());
    behind_proxies(peer, request.headers(), trusted)
}

/// The request's id, which the edge has put there.
pub(super) fn request_id(extensions: &http::Extensions) -> RequestId {
    extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::generate)
}

/// The call's bearer token (RFC 6750), where it is sent once.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, text) = given.next()?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && given.next().is_none()).then_some(text)
}
