//! Events and usage records, as the backend publishes them to the admin service.
//!
//! What an event says never holds what was written in the conversation: the tenant fetches that.

use serde::Serialize;
use serde_json::{Map, Value};
use service::telemetry;
use uuid::Uuid;
use wire::{
    events::{EscalationReason, EventType},
    time::{WireTime, now},
};

use crate::{
    handling::WaitingReason,
    records::{conversations::Conversation, messages::Inserted, tickets::TicketRef},
};

/// Why a conversation was handed over, as events say it.
const fn escalation_reason(reason: WaitingReason) -> EscalationReason {
    match reason {
        WaitingReason::LowConfidence => EscalationReason::LowConfidence,
        WaitingReason::UserRequest => EscalationReason::UserRequest,
        WaitingReason::HumanMode | WaitingReason::ContactForm => EscalationReason::Direct,
    }
}

/// An event, as it is sent to the admin service.
#[derive(Debug, Serialize)]
pub(crate) struct Event {
    /// A UUID of version 7. The admin service takes an id once, so an event that is sent again is not doubled.
    pub(crate) event_id: String,
    event_type: EventType,
    occurred_at: WireTime,
    conversation_id: String,
    visitor_user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_reason: Option<EscalationReason>,
    extra: Map<String, Value>,
    /// The W3C trace context of the call that caused the event; absent where the call is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

/// A message that counts towards the tenant's quota.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) message_id: String,
    created_at: WireTime,
}

impl From<&Inserted> for Usage {
    fn from(message: &Inserted) -> Self {
        Self { message_id: message.id.clone(), created_at: WireTime::from_unix_ms(message.created_at) }
    }
}

/// Where something happened: in which conversation, and with which visitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) conversation_id: &'a str,
    pub(crate) visitor_user_id: &'a str,
}

impl<'a> From<&'a Conversation> for Scene<'a> {
    fn from(conversation: &'a Conversation) -> Self {
        Self { conversation_id: &conversation.row.id, visitor_user_id: &conversation.row.visitor_user_id }
    }
}

impl Scene<'_> {
    /// A conversation began.
    pub(crate) fn conversation_started(self) -> Event {
        self.event(EventType::ConversationStarted)
    }

    /// A visitor's message was kept.
    pub(crate) fn message_received(self, message: &Inserted) -> Event {
        Event {
            message_id: Some(message.id.clone()),
            occurred_at: WireTime::from_unix_ms(message.created_at),
            ..self.event(EventType::MessageReceived)
        }
    }

    /// A ticket was opened, and a person is awaited.
    pub(crate) fn handed_over(self, ticket: &TicketRef, reason: WaitingReason) -> [Event; 2] {
        [EventType::TicketCreated, EventType::EscalationTriggered]
            .map(|event_type| self.escalation(event_type, ticket, reason))
    }

    /// The visitor asked for a person in a conversation that has its ticket already.
    pub(crate) fn person_requested(self, ticket: &TicketRef) -> Event {
        self.escalation(EventType::EscalationTriggered, ticket, WaitingReason::UserRequest)
    }

    /// A person took a ticket.
    pub(crate) fn ticket_assigned(self, ticket: &TicketRef) -> Event {
        self.about(EventType::TicketAssigned, ticket)
    }

    /// A contact form was sent.
    pub(crate) fn contact_submitted(self, ticket: &TicketRef) -> Event {
        self.about(EventType::ContactSubmitted, ticket)
    }

    fn escalation(self, event_type: EventType, ticket: &TicketRef, reason: WaitingReason) -> Event {
        let mut event = self.about(event_type, ticket);
        event.escalation_id.clone_from(&ticket.escalation_id);
        event.escalation_reason = Some(escalation_reason(reason));
        if reason == WaitingReason::ContactForm {
            event.extra.insert("source".to_owned(), reason.as_str().into());
        }
        event
    }

    fn about(self, event_type: EventType, ticket: &TicketRef) -> Event {
        Event {
            ticket_id: Some(ticket.id.clone()),
            ticket_number: Some(ticket.number.to_string()),
            ..self.event(event_type)
        }
    }

    fn event(self, event_type: EventType) -> Event {
        Event {
            event_id: Uuid::now_v7().to_string(),
            event_type,
            occurred_at: now().into(),
            conversation_id: self.conversation_id.to_owned(),
            visitor_user_id: self.visitor_user_id.to_owned(),
            message_id: None,
            ticket_id: None,
            ticket_number: None,
            escalation_id: None,
            escalation_reason: None,
            extra: Map::new(),
            traceparent: telemetry::traceparent(&tracing::Span::current()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCENE: Scene<'_> = Scene { conversation_id: "c", visitor_user_id: "u" };

    #[test]
    fn an_event_says_only_what_applies_to_it() {
        let event = json!(SCENE.conversation_started());
        let fields: Vec<_> = event.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(
            fields.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
            ["conversation_id", "event_id", "event_type", "extra", "occurred_at", "visitor_user_id"].into()
        );
        assert_eq!((&event["event_type"], &event["extra"]), (&json!("conversation_started"), &json!({})));
    }

    #[test]
    fn escalation_reasons_are_those_that_receivers_accept() {
        let texts = [
            WaitingReason::LowConfidence,
            WaitingReason::UserRequest,
            WaitingReason::HumanMode,
            WaitingReason::ContactForm,
        ]
        .map(|reason| json!(escalation_reason(reason)));
        assert_eq!(json!(texts), json!(["low_confidence", "user_request", "direct", "direct"]));
    }
}
