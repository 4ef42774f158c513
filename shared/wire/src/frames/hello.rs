//! The gateway's first frame to the chat backend. PROTOCOL.md, section 5.8.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{json, texts::Mode};
use crate::{origin::Origin, session_id::SessionId};

/// Whose conversation a socket is for, and what the conversation begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello")]
pub struct Hello {
    /// The visitor's session.
    pub session_id: SessionId,
    /// The bot whose widget the visitor uses.
    pub bot_id: String,
    /// The page's locale.
    pub locale: String,
    /// What the page said of itself and its visitor.
    pub metadata: Map<String, Value>,
    /// Where the page wants the conversation to go.
    pub routing_key: Option<String>,
    /// Who answers first.
    pub mode: Mode,
    /// The page's origin; `None` for a minted token, which is bound to no page.
    pub origin: Option<Origin>,
    /// The tenant's own name for the visitor, if the token was minted for one, or the visitor was identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_user_id: Option<String>,
    /// What the page calls an identified visitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_display_name: Option<String>,
    /// An identified visitor's e-mail address, as the page tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_email: Option<String>,
    /// An identified visitor's session from before it was known who the visitor is. Its conversations in which the visitor said
    /// something are the visitor's from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<SessionId>,
}

impl Hello {
    /// The frame's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::text(self)
    }
}
