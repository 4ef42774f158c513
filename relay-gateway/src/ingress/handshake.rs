//! The handshake of a socket, whoever opens it: which subprotocol is spoken, where the token is, and what a bad token costs.
//!
//! A browser does not show a page why a handshake was refused. So the gateway completes every well-formed handshake, and the close code
//! says what is wrong. There is one exception: an address with too many failed calls gets a 429.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use service::{ApiError, serve::Peer, websocket};

use super::{request::client_address, state::Gateway};
use crate::{
    directory::TenantDirectory,
    limits::Lane,
    sockets::{Closing, Participant, Sockets},
};

/// What is spoken, as a subprotocol; it is selected where a client offers it.
const SPOKEN: &str = "chat-relay.v1";
/// What precedes a token among the subprotocols that a client offers. No proxy logs it there.
const BEARER: &str = "bearer.";

/// Completes the handshake, and gives the socket to `sockets` with whom `authenticate` finds. A refused token counts against the address.
pub(super) async fn complete<D: TenantDirectory, P: Participant>(
    gateway: &Gateway<D>,
    mut request: Request,
    (lane, sockets): (Lane, &Arc<Sockets<P>>),
    authenticate: impl AsyncFnOnce(&Parts, IpAddr) -> Result<P, Closing>,
) -> Result<Response, ApiError> {
    let client = client_address(&request, &gateway.trusted_proxies);
    let peer = request.extensions().get::<Peer>().cloned();
    let (upgrading, mut response) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refused) => return Ok(*refused),
    };
    select(request.headers(), response.headers_mut());
    let participant = authenticate(&request.into_parts().0, client).await;
    if let Err(Closing::Token | Closing::Forbidden(_)) = participant {
        gateway.limits.count_failure(lane, client, Instant::now())?;
    }
    sockets.welcome(upgrading, peer, participant);
    Ok(response)
}

/// Selects what is spoken, where the client offers it.
fn select(request: &HeaderMap, response: &mut HeaderMap) {
    if websocket::subprotocols(request).any(|offered| offered == SPOKEN) {
        response.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SPOKEN));
    }
}

/// The token among the subprotocols.
pub(super) fn bearer(request: &HeaderMap) -> Option<&str> {
    websocket::subprotocols(request).find_map(|offered| offered.strip_prefix(BEARER))
}
