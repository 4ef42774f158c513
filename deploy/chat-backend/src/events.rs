//! Events and usage records, as the backend publishes them to the admin service.
//!
//! What an event says never holds what was written in the conversation: the tenant fetches that.

use serde::Serialize;
use serde_json::{Map, Value};
use service::telemetry;
use uuid::Uuid;
use wire::{
    SessionId,
    events::{EscalationReason, EventType},
    time::{WireTime, now},
};

use crate::{
    handling::{Handling, WaitingReason},
    records::{conversations::Conversation, messages::Inserted, tickets::TicketRef},
    takeover::Holder,
};

/// Why a conversation was handed over, as events say it.
const fn escalation_reason(reason: WaitingReason) -> EscalationReason {
    match reason {
        WaitingReason::LowConfidence => EscalationReason::LowConfidence,
        WaitingReason::UserRequest => EscalationReason::UserRequest,
        WaitingReason::RestrictedTopic => EscalationReason::RestrictedTopic,
        WaitingReason::HumanMode | WaitingReason::ContactForm | WaitingReason::Released => EscalationReason::Direct,
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
    /// Of the `agent_*` events.
    #[serde(flatten)]
    takeover: Option<Takeover>,
    /// The W3C trace context of the call that caused the event; absent where the call is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

/// What an operator's event says of the conversation.
#[derive(Debug, Serialize)]
struct Takeover {
    status: &'static str,
    operator_id: String,
    operator_display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    visitor_session_id: Option<String>,
    claim_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    released_at: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<WireTime>,
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

    /// A person is awaited in a conversation that has its ticket already.
    pub(crate) fn person_requested(self, ticket: &TicketRef, reason: WaitingReason) -> Event {
        self.escalation(EventType::EscalationTriggered, ticket, reason)
    }

    /// A person took a ticket.
    pub(crate) fn ticket_assigned(self, ticket: &TicketRef) -> Event {
        self.about(EventType::TicketAssigned, ticket)
    }

    /// A ticket is resolved.
    pub(crate) fn ticket_resolved(self, ticket: &TicketRef) -> Event {
        self.about(EventType::TicketResolved, ticket)
    }

    /// An operator took the conversation, gave it back or resolved it. `now` is the conversation after that.
    pub(crate) fn taken_over(self, holder: &Holder, now: &Conversation) -> Event {
        let (event_type, status) = match now.handling {
            Handling::Assigned => (EventType::AgentAssigned, "ASSIGNED"),
            Handling::Bot | Handling::Waiting(_) => (EventType::AgentReleased, "WAITING"),
            Handling::Resolved => (EventType::AgentResolved, "RESOLVED"),
        };
        let mut event = self.event(event_type);
        if now.handling == Handling::Bot {
            event.extra.insert("handed_to".to_owned(), "bot".into());
        }
        let time = |at: Option<i64>| at.map(WireTime::from_unix_ms);
        event.takeover = Some(Takeover {
            status,
            operator_id: holder.operator_id.clone(),
            operator_display_name: holder.display_name.clone(),
            visitor_session_id: self.visitor_user_id.parse::<SessionId>().ok().map(|session| session.to_string()),
            claim_count: now.row.claim_count.unsigned_abs(),
            claimed_at: time(now.row.claimed_at),
            released_at: time(now.row.released_at),
            resolved_at: time(now.row.resolved_at),
        });
        event
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
            takeover: None,
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
            WaitingReason::RestrictedTopic,
            WaitingReason::Released,
        ]
        .map(|reason| json!(escalation_reason(reason)));
        let expected = ["low_confidence", "user_request", "direct", "direct", "restricted_topic", "direct"];
        assert_eq!(json!(texts), json!(expected));
    }
}
