//! The bodies that callers send. Each is read field by field, so that every refused field is named.

use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::{
    attachments::Attachment,
    fields::{Fields, RefusedFields},
    frames::{
        Role,
        limits::{
            CITATION_URL_CHARS, CONVERSATION_METADATA_BYTES, LOCALE_CHARS, QUICK_REPLIES, QUICK_REPLY_CHARS,
            SIGNED_MESSAGE_ATTACHMENTS, SIGNED_MESSAGE_CHARS, VISITOR_USER_ID_CHARS,
        },
    },
};

use crate::channel::Channel;

/// Characters of a document's body.
const LONGEST_DOCUMENT: usize = 400_000;

/// The language of a conversation or a document that names none.
const DEFAULT_LOCALE: &str = "fr";

/// What begins a conversation.
#[derive(ToSchema)]
pub(crate) struct NewConversation {
    /// The tenant's own name for the visitor.
    #[schema(min_length = 1, max_length = 255)]
    pub(crate) visitor_user_id: String,
    #[schema(max_length = 200)]
    pub(crate) visitor_display_name: Option<String>,
    #[schema(max_length = 254)]
    pub(crate) visitor_email: Option<String>,
    #[schema(max_length = 50)]
    pub(crate) visitor_phone: Option<String>,
    #[schema(required = false, default = "fr", max_length = 35)]
    pub(crate) locale: String,
    /// `text`, `voice` or `video`.
    #[schema(required = false, default = "text", value_type = String)]
    pub(crate) channel: Channel,
    /// At most 16 KiB.
    #[schema(required = false, value_type = Object)]
    pub(crate) metadata: Map<String, Value>,
}

impl NewConversation {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(crate) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let read = Self {
            visitor_user_id: fields.text("visitor_user_id", VISITOR_USER_ID_CHARS),
            visitor_display_name: fields.optional_text("visitor_display_name", 200),
            visitor_email: fields.optional_text("visitor_email", 254),
            visitor_phone: fields.optional_text("visitor_phone", 50),
            locale: fields.optional_text("locale", LOCALE_CHARS).unwrap_or_else(|| DEFAULT_LOCALE.to_owned()),
            channel: Channel::of(fields.choice("channel", &Channel::TEXTS, Channel::Text.as_str())),
            metadata: fields.object("metadata", CONVERSATION_METADATA_BYTES),
        };
        fields.finish()?;
        Ok(read)
    }
}

/// What is said.
#[derive(ToSchema)]
pub(crate) struct NewMessage {
    /// `visitor`, `agent`, `bot` or `system`.
    #[schema(required = false, default = "visitor", value_type = String)]
    pub(crate) role: Role,
    #[schema(min_length = 1, max_length = 8000)]
    pub(crate) content: String,
    #[schema(required = false, max_items = 20)]
    pub(crate) attachments: Vec<Attachment>,
    /// What the visitor may answer by a click, each of 1 to 80 characters. The widget shows them below the newest message.
    #[schema(required = false, max_items = 5)]
    pub(crate) quick_replies: Vec<String>,
}

impl NewMessage {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(crate) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let role = fields.choice("role", Role::TEXTS, Role::Visitor.as_str());
        let content = fields.text("content", SIGNED_MESSAGE_CHARS);
        let attachments = fields.attachments("attachments", SIGNED_MESSAGE_ATTACHMENTS);
        let quick_replies =
            fields.optional_texts("quick_replies", QUICK_REPLIES, QUICK_REPLY_CHARS).unwrap_or_default();
        let role = Role::from_wire(role).unwrap_or(Role::Visitor);
        if role == Role::Visitor && !quick_replies.is_empty() {
            fields.refuse("quick_replies", "must not go with a visitor's message: the visitor chooses one of them");
        }
        fields.finish()?;
        Ok(Self { role, content, attachments, quick_replies })
    }
}

/// Something to answer from.
#[derive(ToSchema)]
pub(crate) struct NewKnowledge {
    /// A document is known by title and language: ingesting it again is its next version.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) title: String,
    #[schema(min_length = 1, max_length = 400_000)]
    pub(crate) body: String,
    /// The bot never answers from documents of the category `restricted`. It hands a question that they answer over to a person.
    #[schema(required = false, default = "general", max_length = 100)]
    pub(crate) category: String,
    #[schema(required = false, default = "fr", max_length = 35)]
    pub(crate) language: String,
    /// Where people read the document: http or https. The bot's answers link to it.
    #[schema(max_length = 2048)]
    pub(crate) url: Option<String>,
    #[schema(required = false, max_items = 50)]
    pub(crate) tags: Vec<String>,
}

impl NewKnowledge {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub(crate) fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let read = Self {
            title: fields.text("title", 500),
            body: fields.text("body", LONGEST_DOCUMENT),
            category: fields.optional_text("category", 100).unwrap_or_else(|| "general".to_owned()),
            language: fields.optional_text("language", LOCALE_CHARS).unwrap_or_else(|| DEFAULT_LOCALE.to_owned()),
            url: fields.optional_web_address("url", CITATION_URL_CHARS),
            tags: fields.optional_texts("tags", 50, 100).unwrap_or_default(),
        };
        fields.finish()?;
        Ok(read)
    }
}
