//! The event that a tenant has sent to try its receiver: every field that its type requires, and `extra.test`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wire::{FieldError, TenantId, events::EventType, time::WireTime};

use super::published::PublishedEvent;

impl PublishedEvent {
    /// A test event of a type: `conversation_started` where `event_type` is empty.
    ///
    /// # Errors
    /// `event_type`, where it is none.
    pub fn test(
        tenant_id: TenantId,
        tenant_name: &str,
        id: &str,
        event_type: &str,
        at: Timestamp,
    ) -> Result<Self, Vec<FieldError>> {
        let event_type = if event_type.is_empty() { EventType::ConversationStarted.as_str() } else { event_type };
        let mut event = Map::new();
        let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
        set("event_id", id.into());
        set("event_type", event_type.into());
        set("occurred_at", WireTime::from(at).to_string().into());
        set("extra", json!({"test": true, "tenant_name": tenant_name}));
        let status = match EventType::from_text(event_type) {
            Some(EventType::AgentAssigned) => Some("ASSIGNED"),
            Some(EventType::AgentReleased) => Some("WAITING"),
            Some(EventType::AgentResolved) => Some("RESOLVED"),
            _ => None,
        };
        if let Some(status) = status {
            set("status", status.into());
            set("operator_id", "test".into());
        }
        if event_type == EventType::EscalationTriggered.as_str() {
            set("escalation_reason", "direct".into());
        }
        Self::read(tenant_id, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_test_event_of_each_type() {
        let test =
            |event_type| PublishedEvent::test(TenantId::DEPLOYMENT, "Acme", "t-1", event_type, Timestamp::UNIX_EPOCH);
        for text in EventType::TEXTS {
            assert_eq!(test(text).expect("an event").kind.as_str(), *text);
        }
        assert_eq!(test("").expect("an event").kind, EventType::ConversationStarted);
        assert_eq!(test("bored").expect_err("refused")[0].field, "event_type");
    }
}
