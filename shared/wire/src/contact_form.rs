//! A contact form: the gateway checks it, and the chat backend makes a ticket of it. PROTOCOL.md, section 4.9.

use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    fields::{Fields, RefusedFields},
    frames::limits::{CONVERSATION_METADATA_BYTES, LOCALE_CHARS, ROUTING_KEY_CHARS, SIGNED_MESSAGE_CHARS},
};

/// A contact form, from a sender who is not in a chat.
#[derive(Debug, ToSchema)]
pub struct NewContactTicket {
    /// Where the answer goes.
    #[schema(min_length = 1, max_length = 254)]
    pub customer_email: String,
    /// Who sends it.
    #[schema(min_length = 1, max_length = 200)]
    pub customer_name: String,
    /// What it is about.
    #[schema(min_length = 1, max_length = 500)]
    pub subject: String,
    /// What it says.
    #[schema(min_length = 1, max_length = 8000)]
    pub message: String,
    /// The sender's company.
    #[schema(min_length = 1, max_length = 200)]
    pub company: Option<String>,
    /// Where the form stands.
    #[schema(min_length = 1, max_length = 200)]
    pub source: Option<String>,
    /// The sender's language.
    #[schema(required = false, default = "fr", min_length = 1, max_length = 35)]
    pub locale: String,
    /// The queue it goes to.
    #[schema(min_length = 1, max_length = 100)]
    pub routing_key: Option<String>,
    /// At most 16 KiB.
    #[schema(required = false, value_type = Object)]
    pub metadata: Map<String, Value>,
}

impl NewContactTicket {
    /// Reads one.
    ///
    /// # Errors
    /// Every refused field.
    pub fn read(object: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(object);
        let customer_email = fields.text("customer_email", 254);
        let is_address =
            |email: &str| email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !customer_email.is_empty() && !is_address(&customer_email) {
            fields.refuse("customer_email", "must be an email address");
        }
        let read = Self {
            customer_email,
            customer_name: fields.text("customer_name", 200),
            subject: fields.text("subject", 500),
            message: fields.text("message", SIGNED_MESSAGE_CHARS),
            company: fields.optional_text("company", 200),
            source: fields.optional_text("source", 200),
            locale: fields.optional_text("locale", LOCALE_CHARS).unwrap_or_else(|| "fr".to_owned()),
            routing_key: fields.optional_text("routing_key", ROUTING_KEY_CHARS),
            metadata: fields.object("metadata", CONVERSATION_METADATA_BYTES),
        };
        fields.finish()?;
        Ok(read)
    }
}
