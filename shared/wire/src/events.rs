//! Events as chat backends publish them and as tenants' receivers get them: their types, and the body that is delivered (PROTOCOL.md,
//! section 7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::time::WireTime;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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

    /// Whether receivers need not know it: the published ones do not. Such an event is tried less often, holds up no other, and never
    /// counts against its receiver.
    #[must_use]
    pub const fn is_best_effort(self) -> bool {
        matches!(self, Self::ContactSubmitted)
    }
}

/// Why a conversation was handed over to a person. The published receivers refuse any other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationReason {
    /// The bot was not sure of its answer.
    LowConfidence,
    /// The bot does not speak of this.
    RestrictedTopic,
    /// The visitor asked for a person.
    UserRequest,
    /// The conversation was meant for a person from the start.
    Direct,
}

impl EscalationReason {
    /// Their texts, on the wire.
    pub const TEXTS: &[&'static str] = &["low_confidence", "restricted_topic", "user_request", "direct"];
}

/// The body of an event, as the tenant's receiver gets it. Fields that do not apply are absent.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct DeliveredEvent {
    /// What happened: a text of [`EventType`].
    pub event_type: String,
    /// Unique in the tenant, and the same on every attempt.
    pub event_id: String,
    /// Whose event it is.
    pub tenant_id: Uuid,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: WireTime,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_id: Option<String>,
    /// The number that people know the ticket by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_number: Option<String>,
    /// The escalation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_id: Option<String>,
    /// Why it was escalated: a text of [`EscalationReason`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_reason: Option<String>,
    /// The tenant's own name for the visitor, or the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_user_id: Option<String>,
    /// The operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_user_id: Option<String>,
    /// This field and those below: of the `agent_*` events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The operator, again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<String>,
    /// The operator's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_display_name: Option<String>,
    /// The visitor's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_session_id: Option<String>,
    /// How often the conversation was claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_count: Option<u32>,
    /// When it was claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<WireTime>,
    /// When it was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub released_at: Option<WireTime>,
    /// When it was resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<WireTime>,
    /// Further facts. It repeats `event_id`, and of the `agent_*` events their fields.
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
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
        let texts = EventType::ALL.iter().map(|kind| serde_json::json!(kind));
        assert!(texts.eq(EventType::TEXTS.iter().map(|text| serde_json::json!(text))));
        use EscalationReason as R;
        let reasons = [R::LowConfidence, R::RestrictedTopic, R::UserRequest, R::Direct];
        assert_eq!(serde_json::json!(reasons), serde_json::json!(EscalationReason::TEXTS));
    }
}
