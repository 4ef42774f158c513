//! Who answers in a conversation, and why a person is awaited.

use serde::{Serialize, Serializer};
use service::ApiError;
use wire::frames::{ConversationStatus, Mode};

/// Who answers in a conversation. PROTOCOL.md, section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    Bot,
    Waiting(WaitingReason),
    Assigned,
    Resolved,
}

/// Why a person is awaited. The database and a ticket's tags call it by [`WaitingReason::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitingReason {
    /// The bot did not know: it goes on answering what it knows.
    LowConfidence,
    /// The visitor asked for a person.
    UserRequest,
    /// The tenant's widget asks for a person from the start: `mode=human`.
    HumanMode,
    /// The conversation began with a contact form.
    ContactForm,
    /// The visitor asked of what the tenant keeps for people.
    RestrictedTopic,
    /// An operator gave the conversation back.
    Released,
}

impl Handling {
    /// What callers and visitors' sockets are told.
    pub(crate) const fn status(self) -> ConversationStatus {
        match self {
            Self::Bot => ConversationStatus::Bot,
            Self::Waiting(_) => ConversationStatus::Waiting,
            Self::Assigned => ConversationStatus::Assigned,
            Self::Resolved => ConversationStatus::Resolved,
        }
    }

    /// What the database calls it.
    pub(crate) const fn as_str(self) -> &'static str {
        self.status().as_str()
    }

    /// What a row says, by its columns `handling` and `waiting_reason`.
    pub(crate) fn of_row(handling: &str, waiting_reason: Option<&str>) -> Result<Self, ApiError> {
        match ConversationStatus::from_wire(handling) {
            Some(ConversationStatus::Bot) => Ok(Self::Bot),
            Some(ConversationStatus::Waiting) => Ok(Self::Waiting(WaitingReason::of_row(waiting_reason))),
            Some(ConversationStatus::Assigned) => Ok(Self::Assigned),
            Some(ConversationStatus::Resolved) => Ok(Self::Resolved),
            None => Err(ApiError::internal(format!("a conversation's handling is {handling:?}, which nothing writes"))),
        }
    }

    /// Whether the bot may answer: it may until a person is assigned, unless the visitor or the tenant wants a person.
    pub(crate) fn bot_may_answer(self) -> bool {
        match self {
            Self::Bot => true,
            Self::Waiting(reason) => reason.bot_may_answer(),
            Self::Assigned | Self::Resolved => false,
        }
    }

    /// What a visitor's message makes of it: one that is resolved begins again, in the session's mode.
    pub(crate) const fn after_visitors_message(self, mode: Mode) -> Self {
        match (self, mode) {
            (Self::Resolved, Mode::Bot) => Self::Bot,
            (Self::Resolved, Mode::Human) => Self::Waiting(WaitingReason::HumanMode),
            (other, _) => other,
        }
    }

    /// What the database calls the reason why a person is awaited.
    pub(crate) const fn waiting_reason(self) -> Option<&'static str> {
        match self {
            Self::Waiting(reason) => Some(reason.as_str()),
            Self::Bot | Self::Assigned | Self::Resolved => None,
        }
    }
}

impl Serialize for Handling {
    /// Writes the status without the reason: no caller depends on the reason.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl WaitingReason {
    const ALL: [Self; 6] = [
        Self::LowConfidence,
        Self::UserRequest,
        Self::HumanMode,
        Self::ContactForm,
        Self::RestrictedTopic,
        Self::Released,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::LowConfidence => "low_confidence",
            Self::UserRequest => "user_request",
            Self::HumanMode => "human_mode",
            Self::ContactForm => "contact_form",
            Self::RestrictedTopic => "restricted_topic",
            Self::Released => "released",
        }
    }

    /// Another build may have written no reason, or one that this build does not know. Then the bot is silent.
    fn of_row(text: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|reason| Some(reason.as_str()) == text).unwrap_or(Self::HumanMode)
    }

    /// Whether the bot answers what it knows, until the awaited person comes.
    pub(crate) fn bot_may_answer(self) -> bool {
        matches!(self, Self::LowConfidence | Self::RestrictedTopic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_says_is_what_was_written() {
        let waiting = WaitingReason::ALL.map(Handling::Waiting);
        for handling in [Handling::Bot, Handling::Assigned, Handling::Resolved].into_iter().chain(waiting) {
            let read = Handling::of_row(handling.as_str(), handling.waiting_reason()).expect("it is known");
            assert_eq!(read, handling);
            let answers = [
                Handling::Bot,
                Handling::Waiting(WaitingReason::LowConfidence),
                Handling::Waiting(WaitingReason::RestrictedTopic),
            ]
            .contains(&handling);
            assert_eq!(read.bot_may_answer(), answers, "{handling:?}");
        }
        for unknown in [None, Some("of_a_later_build")] {
            let read = Handling::of_row("waiting", unknown).expect("a person is awaited");
            assert!(read.as_str() == "waiting" && !read.bot_may_answer(), "{unknown:?}");
        }
        assert!(Handling::of_row("lost", None).is_err());
    }
}
