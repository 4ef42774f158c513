//! A tenant's own events on the signed lane. PROTOCOL.md, section 7.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wire::{
    events::DeliveredEvent,
    fields::{Fields, RefusedFields},
    time::WireTime,
};

use crate::admin;

const EVENT_ID_CHARS: usize = 128;
const EVENT_TYPE_CHARS: usize = 64;
const STATE_CHARS: usize = 64;

/// The states of events that may be sent again: a pending one is sent anyway.
const REPLAYABLE: [&str; 3] = ["delivered", "parked", "no_endpoint"];

/// An event: the fields of its delivered body, and where it is on its way to the tenant's receiver.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantEvent {
    #[serde(flatten)]
    #[schema(value_type = DeliveredEvent)]
    body: Map<String, Value>,
    /// 1, 2, 3, … in the tenant, without gaps.
    #[schema(minimum = 1)]
    seq: u64,
    #[schema(pattern = "^(pending|delivered|parked|held|no_endpoint)$")]
    state: String,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next. `null` where it is not pending, and where it waits for an earlier event of its conversation.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<WireTime>,
}

impl From<admin::Event> for TenantEvent {
    fn from(event: admin::Event) -> Self {
        let admin::Event { body, seq, state, attempts, next_attempt_at } = event;
        Self { body, seq, state, attempts, next_attempt_at }
    }
}

/// Events in the order of their numbers.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantEvents {
    pub(crate) items: Vec<TenantEvent>,
    /// Pass it as `cursor` for the events that follow. It is there after the last event too, and waits for the next one.
    pub(crate) next_cursor: String,
}

/// One attempt at delivering an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryAttempt {
    #[schema(value_type = String, format = DateTime)]
    started_at: WireTime,
    latency_ms: u32,
    /// The receiver's HTTP status; `null` where it gave no answer.
    #[schema(required)]
    status: Option<u32>,
    /// What came of the attempt, in words.
    reason: String,
    /// The first bytes of the answer's body.
    answer: String,
}

impl From<admin::Attempt> for DeliveryAttempt {
    fn from(attempt: admin::Attempt) -> Self {
        let admin::Attempt { started_at, latency_ms, status, reason, answer } = attempt;
        Self { started_at, latency_ms, status, reason, answer }
    }
}

/// An event with every attempt at delivering it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptedEvent {
    pub(crate) event: TenantEvent,
    pub(crate) attempts: Vec<DeliveryAttempt>,
}

/// An event that is sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct SentEvent {
    pub(crate) event: TenantEvent,
}

/// Which event to send again.
#[derive(ToSchema)]
pub(crate) struct NamedEvent {
    #[schema(min_length = 1, max_length = 128)]
    pub(crate) event_id: String,
}

impl NamedEvent {
    pub(crate) fn read(given: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(given);
        let event_id = fields.text("event_id", EVENT_ID_CHARS);
        fields.finish()?;
        Ok(Self { event_id })
    }
}

/// Which events to send again. Any other field is refused: a misspelt `until` would send more events than was meant.
#[derive(ToSchema)]
pub(crate) struct WantedReplay {
    /// Events that occurred at or after this time.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    /// Events that occurred before this time. Absent: until now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
    #[schema(pattern = "^(delivered|parked|no_endpoint)$")]
    pub(crate) state: String,
}

impl WantedReplay {
    pub(crate) fn read(given: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(given);
        let (since, until) = (fields.time("since"), fields.optional_time("until"));
        let state = fields.text("state", STATE_CHARS);
        if !state.is_empty() && !REPLAYABLE.contains(&state.as_str()) {
            fields.refuse("state", format!("must be one of {}", REPLAYABLE.join(", ")));
        }
        fields.refuse_others();
        fields.finish()?;
        Ok(Self { since, until, state })
    }
}

/// How many events are sent again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayedEvents {
    pub(crate) replayed: u64,
}

/// Which test event to send.
#[derive(ToSchema)]
pub(crate) struct WantedTestEvent {
    /// Such as `message_received`.
    #[schema(min_length = 1, max_length = 64, default = "conversation_started")]
    pub(crate) event_type: Option<String>,
}

impl WantedTestEvent {
    pub(crate) fn read(given: Map<String, Value>) -> Result<Self, RefusedFields> {
        let mut fields = Fields::new(given);
        let event_type = fields.optional_text("event_type", EVENT_TYPE_CHARS);
        fields.finish()?;
        Ok(Self { event_type })
    }
}

/// The endpoint after the call.
#[derive(Serialize, ToSchema)]
pub(crate) struct StartedEndpoint {
    #[schema(pattern = "^(active|none)$")]
    pub(crate) endpoint_state: String,
}
