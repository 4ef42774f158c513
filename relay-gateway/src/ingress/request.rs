//! What every handler reads of a request.

use std::net::IpAddr;

use axum::extract::Request;
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
