//! The types of events.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A new conversation.
    ConversationStarted,
    /// A visitor's message.
    MessageReceived,
    /// A ticket was made, by an escalation or a form.
    TicketCreated,
    /// A person took a ticket.
    TicketAssigned,
    /// A ticket is resolved.
    TicketResolved,
    /// The bot hands over, or a visitor asks for a person.
    EscalationTriggered,
    /// An operator claimed a conversation.
    AgentAssigned,
    /// An operator gave a conversation back.
    AgentReleased,
    /// An operator resolved a conversation.
    AgentResolved,
    /// A contact form was sent.
    ContactSubmitted,
}

impl EventType {
    /// Their texts, on the wire and in the database.
    pub const TEXTS: &[&'static str] = &[
        "conversation_started",
        "message_received",
        "ticket_created",
        "ticket_assigned",
        "ticket_resolved",
        "escalation_triggered",
        "agent_assigned",
        "agent_released",
        "agent_resolved",
        "contact_submitted",
    ];

    const ALL: &[Self] = &[
        Self::ConversationStarted,
        Self::MessageReceived,
        Self::TicketCreated,
        Self::TicketAssigned,
        Self::TicketResolved,
        Self::EscalationTriggered,
        Self::AgentAssigned,
        Self::AgentReleased,
        Self::AgentResolved,
        Self::ContactSubmitted,
    ];

    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::TEXTS[self as usize]
    }

    /// The type with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether it tells of an operator.
    #[must_use]
    pub const fn is_of_an_operator(self) -> bool {
        matches!(self, Self::AgentAssigned | Self::AgentReleased | Self::AgentResolved)
    }

    /// Whether it is delivered after the earlier events of its conversation. The published receivers do not know `contact_submitted`,
    /// so it never holds up another event.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Self::ContactSubmitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_text() {
        assert_eq!(EventType::ALL.len(), EventType::TEXTS.len());
        for (kind, text) in EventType::ALL.iter().zip(EventType::TEXTS) {
            assert_eq!((kind.as_str(), EventType::from_text(text)), (*text, Some(*kind)));
        }
        assert_eq!(EventType::from_text("agent_Resolved"), None);
    }
}
