//! Fields that were refused, and what to do instead. A hint is an enum here: each edge has its own words for it, because a domain
//! knows neither paths nor methods.

use wire::FieldError;

/// A field that was refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedField {
    /// Its name, as the caller wrote it.
    pub field: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why a field is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, in words that hold at every edge.
    pub message: String,
    /// What to do instead, where that differs from edge to edge.
    pub hint: Option<Hint>,
}

/// What to do instead of writing a field so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Another call makes a new secret.
    RotateSecret,
    /// Another call makes a new widget key.
    RotateWidgetKey,
    /// Two other calls write the status.
    SetStatus,
    /// A call lists the bots, with their ids.
    ListBots,
    /// The reference lists the fields that there are.
    ReadReference,
    /// The service alone writes the field: leave it out.
    LeaveOut,
}

impl Refusal {
    /// A refusal that comes with a hint.
    pub(super) fn hinted(message: &str, hint: Hint) -> Self {
        Self { message: message.to_owned(), hint: Some(hint) }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, hint: None }
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::from(message.to_owned())
    }
}

impl From<FieldError> for RefusedField {
    fn from(FieldError { field, message }: FieldError) -> Self {
        Self { field, refusal: message.into() }
    }
}

impl RefusedField {
    /// A refused field. Its name is the caller's text, and a long one is cut: echoing it whole would help nobody.
    pub fn new(field: &str, refusal: impl Into<Refusal>) -> Self {
        Self { field: field.chars().take(100).collect(), refusal: refusal.into() }
    }

    /// For a `bot_id` that is not an id.
    #[must_use]
    pub fn no_bot_id() -> Self {
        Self::new("bot_id", Refusal::hinted("must be a bot's id", Hint::ListBots))
    }
}
