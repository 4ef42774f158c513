//! The words that frames choose from: who speaks, who answers, whether an answer helped, and how a session begins.

use serde::{Deserialize, Serialize};

/// An enum whose variants are texts on the wire, each text written once.
macro_rules! texts {
    ($($(#[$about:meta])+ $name:ident { $($(#[$meaning:meta])+ $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub enum $name {
            $($(#[$meaning])+ #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The texts of all of them, in the same order.
            pub const TEXTS: &[&str] = &[$($text,)+];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the text; `None` if it is none of these.
            #[must_use]
            pub fn from_wire(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    )+};
}

texts! {
    /// Who wrote a message.
    Role {
        /// A visitor of the tenant.
        Visitor = "visitor",
        /// A person of the tenant.
        Agent = "agent",
        /// The chat backend's bot.
        Bot = "bot",
        /// The chat backend itself: it says what happens.
        System = "system",
    }

    /// Who answers in a conversation. PROTOCOL.md, section 8.
    ConversationStatus {
        /// The bot answers.
        Bot = "bot",
        /// A person is awaited.
        Waiting = "waiting",
        /// A person answers.
        Assigned = "assigned",
        /// Nothing is left to answer.
        Resolved = "resolved",
    }

    /// What a visitor says of an answer.
    Feedback {
        /// The visitor may say whether it helped, and has not yet.
        Asked = "asked",
        /// It helped.
        Helpful = "helpful",
        /// It did not help.
        Unhelpful = "unhelpful",
    }

    /// Who answers first in a session's conversation.
    Mode {
        /// The bot.
        Bot = "bot",
        /// A person: the bot stays silent.
        Human = "human",
    }
}
