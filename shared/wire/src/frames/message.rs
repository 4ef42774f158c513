//! A message of a conversation, as a socket shows it. PROTOCOL.md, section 5.6.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::texts::{Feedback, Role};
use crate::{attachments::Attachment, time::WireTime};

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Message {
    /// Ids sort by time.
    pub id: String,
    /// Who wrote it.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// What a bot's answer was taken from.
    pub citations: Vec<Citation>,
    /// Files that go with it.
    pub attachments: Vec<Attachment>,
    /// What the client called it, if a client sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub client_id: Option<String>,
    /// Whether it helped, as the visitor says. It is left out where the visitor is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub feedback: Option<Feedback>,
    /// What the visitor may answer by a click.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub quick_replies: Vec<String>,
    /// RFC 3339, in UTC, to the millisecond.
    #[cfg_attr(test, ts(type = "string"))]
    pub created_at: WireTime,
}

/// Where an answer is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Citation {
    /// The passage.
    pub chunk_id: String,
    /// The document that holds the passage.
    pub document_id: String,
    /// The title of the document, as people know it.
    ///
    /// Empty in citations that earlier builds of the reference backend kept.
    #[serde(default)]
    pub title: String,
    /// Where people read the document: http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub url: Option<String>,
    /// The document's version.
    #[cfg_attr(test, ts(type = "number"))]
    pub document_version: i64,
    /// The share of the question's words that the passage holds, 0 to 1.
    pub score: f64,
}
