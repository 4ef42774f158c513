//! What operators send. Each body is read field by field, so that every refused field is named.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::{
    attachments::Attachment,
    fields::{Fields, RefusedFields},
    frames::limits::{SIGNED_MESSAGE_ATTACHMENTS, SIGNED_MESSAGE_CHARS},
    time::now,
};

/// How far ahead a conversation may be put aside: 90 days.
const LONGEST_SNOOZE_HOURS: i64 = 90 * 24;

/// What an operator says.
#[derive(ToSchema)]
pub(super) struct NewEntry {
    #[schema(min_length = 1, max_length = 8000)]
    pub(super) content: String,
    #[schema(required = false, max_items = 20)]
    pub(super) attachments: Vec<Attachment>,
    /// Whether it is a note of operators among themselves.
    #[schema(required = false, default = false)]
    pub(super) internal: bool,
    /// The page's own id, a UUID: a message that is sent again under it is written once.
    pub(super) client_id: Option<String>,
}

impl NewEntry {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(super) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let read = Self {
            content: fields.text("content", SIGNED_MESSAGE_CHARS),
            attachments: fields.attachments("attachments", SIGNED_MESSAGE_ATTACHMENTS),
            internal: fields.flag("internal"),
            client_id: fields.optional_text("client_id", 64),
        };
        if read.internal && !read.attachments.is_empty() {
            fields.refuse("attachments", "a note has none: send them as a message, or leave them out");
        }
        if read.internal && read.client_id.is_some() {
            fields.refuse("client_id", "is for messages: leave it out of a note");
        }
        fields.finish()?;
        Ok(read)
    }
}

/// Who shall have a conversation.
#[derive(ToSchema)]
pub(super) struct WantedAssignee {
    pub(super) operator_id: String,
}

impl WantedAssignee {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(super) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let operator_id = fields.text("operator_id", 64);
        fields.finish()?;
        Ok(Self { operator_id })
    }
}

/// Until when a conversation is put aside.
#[derive(ToSchema)]
pub(super) struct WantedSnooze {
    /// Within the next 90 days; `null` brings the conversation back.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub(super) until: Option<Timestamp>,
}

impl WantedSnooze {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(super) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let until = fields.optional_time("until");
        let (now, longest) = (now(), SignedDuration::from_hours(LONGEST_SNOOZE_HOURS));
        if until.is_some_and(|until| until <= now || until.duration_since(now) > longest) {
            fields.refuse("until", "must be a time within the next 90 days");
        }
        fields.finish()?;
        Ok(Self { until })
    }
}

/// A conversation's tags.
#[derive(ToSchema)]
pub(super) struct NewTags {
    /// At most 50 characters each; an empty list removes them.
    #[schema(max_items = 20)]
    pub(super) tags: Vec<String>,
}

impl NewTags {
    /// Reads them.
    ///
    /// # Errors
    /// Every refused field.
    pub(super) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let tags = fields.optional_texts("tags", 20, 50);
        if tags.is_none() {
            fields.require("tags", "is required: an empty list removes them");
        }
        fields.finish()?;
        Ok(Self { tags: tags.unwrap_or_default() })
    }
}

/// A canned reply to be written.
#[derive(ToSchema)]
pub(super) struct NewCannedReply {
    /// Letters, digits, `-` and `_`. A shortcut that exists gets the new text.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,40}$")]
    pub(super) shortcut: String,
    #[schema(min_length = 1, max_length = 8000)]
    pub(super) content: String,
}

impl NewCannedReply {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(super) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let shortcut = fields.text("shortcut", 40);
        if !shortcut.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            fields.refuse("shortcut", "must be letters, digits, - and _");
        }
        let content = fields.text("content", SIGNED_MESSAGE_CHARS);
        fields.finish()?;
        Ok(Self { shortcut, content })
    }
}
