//! `Events`: what chat backends publish.

use proto::events::v1::{
    Event, PublishRequest, PublishResponse, PublishedEvent, Takeover, Usage, events_server::Events as Service,
};
use serde_json::{Map, Value};
use service::ApiError;
use tonic::{Request, Response, Status};
use wire::time::WireTime;

use super::{convert, edge::logged};
use crate::{domain::audit::Caller, events::Events};

pub(super) struct EventsService {
    events: Events,
}

impl EventsService {
    pub(super) fn new(events: Events) -> Self {
        Self { events }
    }
}

/// An event as JSON has it: the rules for its fields stand once.
fn object(event: Event) -> Result<Value, ApiError> {
    let mut object = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    set("event_id", Some(event.event_id.into()));
    set("event_type", Some(event.event_type.into()));
    set("occurred_at", time("occurred_at", event.occurred_at)?);
    set("conversation_id", event.conversation_id.map(Value::from));
    set("message_id", event.message_id.map(Value::from));
    set("ticket_id", event.ticket_id.map(Value::from));
    set("ticket_number", event.ticket_number.map(Value::from));
    set("escalation_id", event.escalation_id.map(Value::from));
    set("escalation_reason", event.escalation_reason.map(Value::from));
    set("visitor_user_id", event.visitor_user_id.map(Value::from));
    set("agent_user_id", event.agent_user_id.map(Value::from));
    if !event.extra_json.is_empty() {
        let extra = serde_json::from_str(&event.extra_json);
        set("extra", Some(extra.map_err(|_| ApiError::field("extra_json", "must be a JSON object"))?));
    }
    set("traceparent", Some(event.traceparent).filter(|text| !text.is_empty()).map(Value::from));
    if let Some(takeover) = event.takeover {
        let Takeover { status, operator_id, claim_count, claimed_at, released_at, resolved_at, .. } = takeover;
        set("status", Some(status.into()));
        set("operator_id", Some(operator_id.into()));
        set("operator_display_name", takeover.operator_display_name.map(Value::from));
        set("visitor_session_id", takeover.visitor_session_id.map(Value::from));
        set("claim_count", claim_count.map(Value::from));
        set("claimed_at", time("claimed_at", claimed_at)?);
        set("released_at", time("released_at", released_at)?);
        set("resolved_at", time("resolved_at", resolved_at)?);
    }
    Ok(Value::Object(object))
}

fn usage(Usage { message_id, created_at }: Usage) -> Result<Value, ApiError> {
    let mut object = Map::new();
    object.insert("message_id".to_owned(), message_id.into());
    if let Some(at) = time("created_at", created_at)? {
        object.insert("created_at".to_owned(), at);
    }
    Ok(Value::Object(object))
}

/// A time as JSON has it, if there is one.
fn time(field: &str, at: Option<prost_types::Timestamp>) -> Result<Option<Value>, ApiError> {
    let Some(at) = at else { return Ok(None) };
    let at = convert::time(at).ok_or_else(|| ApiError::field(field, "is not a time"))?;
    Ok(Some(WireTime::from(at).to_string().into()))
}

#[tonic::async_trait]
impl Service for EventsService {
    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let admin_key = request.extensions().get::<Caller>().and_then(|caller| caller.admin_key);
        let PublishRequest { tenant_id, events, usage: counted } = request.into_inner();
        let tenant_id = convert::tenant_id_from_text(&tenant_id)?;
        let events = events.into_iter().map(object).collect::<Result<Vec<_>, _>>()?;
        let counted = counted.into_iter().map(usage).collect::<Result<_, _>>()?;
        let numbers = self.events.publish(tenant_id, events, counted, admin_key).await.map_err(logged)?;
        let items = numbers.into_iter().map(|(event_id, seq)| PublishedEvent { event_id, seq }).collect();
        Ok(Response::new(PublishResponse { items }))
    }
}
