//! The subprotocols of the relay's sockets: what is spoken, and the token, which no proxy logs there.

use http::{HeaderMap, HeaderValue, header};
use service::websocket;

/// What is spoken, as a subprotocol; it is selected where a client offers it.
const SPOKEN: &str = "chat-relay.v1";
/// What precedes a token among the subprotocols that a client offers.
const BEARER: &str = "bearer.";

/// Selects what is spoken, where the client offers it.
pub(super) fn select(request: &HeaderMap, response: &mut HeaderMap) {
    if websocket::subprotocols(request).any(|offered| offered == SPOKEN) {
        response.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SPOKEN));
    }
}

/// The token among the subprotocols.
pub(super) fn bearer(request: &HeaderMap) -> Option<&str> {
    websocket::subprotocols(request).find_map(|offered| offered.strip_prefix(BEARER))
}
