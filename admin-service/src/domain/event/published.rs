//! An event or a usage record as a chat backend publishes it: read, checked, and made into the body that receivers get.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use wire::{
    FieldError, TenantId,
    events::{EscalationReason, EventType},
    fields::{Fields, RefusedFields},
    time::WireTime,
};

/// The longest id of an event or a message.
const LONGEST_ID: usize = 128;
/// The longest text of any other field.
const LONGEST_TEXT: usize = 255;
/// `extra` as JSON, in bytes.
const LARGEST_EXTRA: usize = 16 * 1024;
/// What an operator's event may say of its conversation.
const TAKEOVER_STATUSES: &[&str] = &["ASSIGNED", "WAITING", "RESOLVED"];

/// The fields of operators' events alone.
const OF_OPERATORS: &[&str] = &[
    "status",
    "operator_id",
    "operator_display_name",
    "visitor_session_id",
    "claim_count",
    "claimed_at",
    "released_at",
    "resolved_at",
];

/// An event, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedEvent {
    /// Its id, unique in the tenant.
    pub id: String,
    /// What happened.
    pub kind: EventType,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Its conversation, if it has one.
    pub conversation_id: Option<String>,
    /// The body that receivers get: compact JSON.
    pub body: String,
    /// The W3C trace context of what made it.
    pub traceparent: Option<String>,
}

/// The body that receivers get. Absent fields are left out, for the published receivers take no `null` in `extra`.
#[derive(Serialize)]
struct Body<'e> {
    event_type: &'static str,
    event_id: &'e str,
    tenant_id: String,
    occurred_at: WireTime,
    #[serde(flatten)]
    named: Named,
    extra: Map<String, Value>,
}

/// Fields that are there, in the order in which PROTOCOL.md lists them.
#[derive(Clone, Debug, Default)]
struct Named(Vec<(&'static str, Value)>);

impl Named {
    fn keep(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.push((name, value.into()));
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl PublishedEvent {
    /// Reads an event of a tenant.
    ///
    /// # Errors
    /// Every refused field.
    pub fn read(tenant_id: TenantId, object: Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let is_null = object.get("extra").is_some_and(Value::is_null);
        let of_operators: Vec<_> = OF_OPERATORS.iter().filter(|name| object.contains_key(**name)).collect();
        let mut fields = Fields::new(object);
        if is_null {
            fields.refuse("extra", "must be an object: leave it out where there is nothing to say");
        }
        let id = read_id(&mut fields, "event_id");
        let kind = fields.choice("event_type", EventType::TEXTS, "");
        let Some(kind) = EventType::from_text(kind) else {
            fields.require("event_type", "is required");
            return Err(refused(fields));
        };
        let occurred_at = fields.time("occurred_at");
        if fields.optional_text("tenant_id", LONGEST_TEXT).is_some_and(|text| text != tenant_id.to_string()) {
            fields.refuse("tenant_id", "is not the tenant that the call is for");
        }
        let mut named = Named::default();
        for name in ["conversation_id", "message_id", "ticket_id", "ticket_number", "escalation_id"] {
            named.keep(name, fields.optional_text(name, LONGEST_TEXT));
        }
        let reason = fields.choice("escalation_reason", EscalationReason::TEXTS, "");
        named.keep("escalation_reason", Some(reason).filter(|reason| !reason.is_empty()));
        named.keep("visitor_user_id", fields.optional_text("visitor_user_id", LONGEST_TEXT));
        let agent = fields.optional_text("agent_user_id", LONGEST_TEXT);
        let mut extra = fields.object("extra", LARGEST_EXTRA);
        if kind.is_of_an_operator() {
            let takeover = read_takeover(&mut fields);
            named.keep("agent_user_id", takeover.get("operator_id").cloned());
            // Handlers of the published client see these fields in `extra` alone.
            extra.extend(takeover.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            named.0.extend(takeover.0);
        } else {
            for name in of_operators {
                fields.refuse(name, "is for the agent_* events");
            }
            named.keep("agent_user_id", agent);
        }
        let traceparent = fields.optional_text("traceparent", LONGEST_TEXT);
        fields.finish().map_err(|RefusedFields(errors)| errors)?;
        extra.insert("event_id".to_owned(), id.as_str().into());
        let conversation_id = named.get("conversation_id").and_then(Value::as_str).map(str::to_owned);
        let body = Body {
            event_type: kind.as_str(),
            event_id: &id,
            tenant_id: tenant_id.to_string(),
            occurred_at: occurred_at.into(),
            named,
            extra,
        };
        let body = serde_json::to_string(&body).expect("texts and numbers are JSON");
        Ok(Self { id, kind, occurred_at, conversation_id, body, traceparent })
    }
}

/// One message that counts towards the tenant's monthly quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its id: it counts once.
    pub message_id: String,
    /// Which month it counts in.
    pub created_at: Timestamp,
}

impl Usage {
    /// Reads a usage record.
    ///
    /// # Errors
    /// Every refused field.
    pub fn read(object: Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(object);
        let message_id = read_id(&mut fields, "message_id");
        let created_at = fields.time("created_at");
        fields.finish().map_err(|RefusedFields(errors)| errors)?;
        Ok(Self { message_id, created_at })
    }
}

fn refused(fields: Fields) -> Vec<FieldError> {
    fields.finish().err().map(|RefusedFields(errors)| errors).unwrap_or_default()
}

fn read_id(fields: &mut Fields, name: &str) -> String {
    let id = fields.text(name, LONGEST_ID);
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)) {
        fields.refuse(name, "must be letters, digits, and _ . : -");
    }
    id
}

/// What an operator's event says of the conversation that was claimed, given back or resolved.
fn read_takeover(fields: &mut Fields) -> Named {
    let mut takeover = Named::default();
    let status = fields.choice("status", TAKEOVER_STATUSES, "");
    if status.is_empty() {
        fields.require("status", "is required");
    }
    takeover.keep("status", Some(status));
    takeover.keep("operator_id", Some(fields.text("operator_id", LONGEST_TEXT)));
    for name in ["operator_display_name", "visitor_session_id"] {
        takeover.keep(name, fields.optional_text(name, LONGEST_TEXT));
    }
    takeover.keep("claim_count", Some(fields.number("claim_count", 0..=u32::MAX, 0)));
    for name in ["claimed_at", "released_at", "resolved_at"] {
        takeover.keep(name, fields.optional_time(name).map(|at| WireTime::from(at).to_string()));
    }
    takeover
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("an object") };
        object
    }

    fn read(value: Value) -> Result<PublishedEvent, Vec<String>> {
        PublishedEvent::read(TenantId::DEPLOYMENT, object(value))
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn the_body_leaves_out_what_is_absent_and_repeats_the_id_in_extra() {
        let event = read(json!({
            "event_id": "e-1", "event_type": "message_received", "occurred_at": "2026-11-26T10:00:00+00:00",
            "conversation_id": "c1", "message_id": null, "later": 1, "traceparent": "00-aa-bb-01",
        }))
        .expect("taken");
        let tenant = TenantId::DEPLOYMENT;
        let body: Value = serde_json::from_str(&event.body).expect("JSON");
        assert_eq!(
            body,
            json!({"event_type": "message_received", "event_id": "e-1", "tenant_id": tenant.to_string(),
                   "occurred_at": "2026-11-26T10:00:00.000Z", "conversation_id": "c1", "extra": {"event_id": "e-1"}})
        );
        assert_eq!((event.conversation_id.as_deref(), event.traceparent.as_deref()), (Some("c1"), Some("00-aa-bb-01")));
    }

    #[test]
    fn an_operators_event_says_who_at_the_top_and_in_extra() {
        let event = read(json!({
            "event_id": "e-2", "event_type": "agent_assigned", "occurred_at": "2026-11-26T10:00:00Z", "status": "ASSIGNED",
            "operator_id": "o1", "operator_display_name": "Ann", "claim_count": 2, "claimed_at": "2026-11-26T10:00:00Z",
        }))
        .expect("taken");
        let body: Value = serde_json::from_str(&event.body).expect("JSON");
        assert_eq!(
            (&body["agent_user_id"], &body["operator_id"], &body["status"]),
            (&json!("o1"), &json!("o1"), &json!("ASSIGNED"))
        );
        for name in ["status", "operator_id", "operator_display_name", "claim_count", "claimed_at"] {
            assert_eq!(body["extra"][name], body[name], "{name}");
        }
        assert!(body.get("resolved_at").is_none() && body["extra"].get("resolved_at").is_none());
    }

    #[test]
    fn every_refused_field_is_named() {
        let time = "2026-11-26T10:00:00Z";
        for (event, expected) in [
            (json!({}), vec!["event_id", "event_type"]),
            (
                json!({"event_id": "a b", "event_type": "message_received", "occurred_at": "now"}),
                vec!["event_id", "occurred_at"],
            ),
            (
                json!({"event_id": "a", "event_type": "agent_assigned", "occurred_at": time}),
                vec!["status", "operator_id"],
            ),
            (
                json!({"event_id": "a", "event_type": "escalation_triggered", "occurred_at": time, "escalation_reason": "bored"}),
                vec!["escalation_reason"],
            ),
            (
                json!({"event_id": "a", "event_type": "ticket_created", "occurred_at": time, "extra": [], "ticket_id": 3,
                       "tenant_id": "another"}),
                vec!["tenant_id", "ticket_id", "extra"],
            ),
        ] {
            assert_eq!(read(event.clone()), Err(expected.into_iter().map(str::to_owned).collect()), "{event}");
        }
        let late = json!({"event_id": "a", "event_type": "message_received", "occurred_at": time, "extra": null, "claim_count": 1});
        assert_eq!(read(late), Err(vec!["extra".to_owned(), "claim_count".to_owned()]));
        let errors = Usage::read(object(json!({"message_id": ""}))).expect_err("refused");
        assert_eq!(errors.len(), 2);
    }
}
