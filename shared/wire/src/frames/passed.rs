//! A client's frame as the gateway passes it to the chat backend. PROTOCOL.md, section 5.8.

use serde::Serialize;

use super::{client::ClientFrame, json};

/// A client's frame, and the trace that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PassedFrame<'a> {
    /// What the client said.
    #[serde(flatten)]
    pub frame: &'a ClientFrame,
    /// The W3C trace context of a message that is recorded. It comes from the gateway: what a client says of traces is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<&'a str>,
}

impl PassedFrame<'_> {
    /// The frame's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }
}
