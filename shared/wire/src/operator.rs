//! What the relay tells a chat backend of the operator who acts. PROTOCOL.md, section 8.

use std::str::FromStr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The query parameter of an operator's call that holds an [`ActingOperator`]. The signature covers it, as it covers the whole query.
pub const OPERATOR_PARAMETER: &str = "relay_operator";

/// The query parameter of `assign/conversation` that holds the [`ActingOperator`] who shall have the conversation.
pub const ASSIGNEE_PARAMETER: &str = "relay_assignee";

/// The operator who acts, beside the id, which is the actor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActingOperator {
    /// The name that visitors read.
    pub display_name: String,
    /// The operator's picture.
    pub avatar_url: Option<String>,
    /// The queues the operator sees; none: all of the tenant.
    pub routing_keys: Vec<String>,
}

/// A text that is no [`ActingOperator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be base64url of a JSON object with display_name, avatar_url and routing_keys")]
pub struct InvalidOperator;

impl ActingOperator {
    /// Its text in the query: base64url (RFC 4648, section 5) of JSON, without padding.
    #[must_use]
    pub fn to_parameter(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::json!(self).to_string())
    }
}

impl FromStr for ActingOperator {
    type Err = InvalidOperator;

    fn from_str(text: &str) -> Result<Self, InvalidOperator> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidOperator)?;
        serde_json::from_slice(&json).map_err(|_| InvalidOperator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_anything_else_is_refused() {
        let operator = ActingOperator {
            display_name: "Zoé & 王".to_owned(),
            avatar_url: Some("https://cdn.example.com/z.png".to_owned()),
            routing_keys: vec!["sales".to_owned(), "a b".to_owned()],
        };
        let text = operator.to_parameter();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(text.parse(), Ok(operator));
        for wrong in ["", "e30", "not base64!", "bnVsbA"] {
            assert_eq!(wrong.parse::<ActingOperator>(), Err(InvalidOperator), "{wrong}");
        }
    }
}
