//! Events for operators: which there are, what was tried, and sending them again.

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use service::{ApiError, Envelope, Failure, Success};
use utoipa::ToSchema;
use wire::{
    TenantId,
    events::{DeliveredEvent, EventType},
    fields::{Fields as Reading, RefusedFields},
    time::{WireTime, as_millis},
};

use super::{
    dto::{ChangedTenant, next_cursor},
    input::{Fields, Known, Params},
};
use crate::{
    domain::event::{EventState, EventView},
    errors::UseCaseError,
    events::{Events, ReplayWanted},
    paging,
    store::{AttemptRecord, EventFilter},
};

/// An event: the fields of its delivered body, and where it is on its way.
#[derive(Serialize, ToSchema)]
pub(super) struct StoredEvent {
    #[serde(flatten)]
    body: DeliveredEvent,
    /// 1, 2, 3, … in the tenant.
    seq: u64,
    /// `pending`, `delivered`, `parked`, `held` or `no_endpoint`.
    #[schema(pattern = "^(pending|delivered|parked|held|no_endpoint)$")]
    state: &'static str,
    attempts: u32,
    /// `null` where it is not pending, and where it waits for an earlier event of its conversation.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<WireTime>,
}

impl StoredEvent {
    fn read(event: EventView) -> Result<Self, ApiError> {
        Ok(Self {
            body: serde_json::from_str(&event.body).map_err(ApiError::internal)?,
            seq: event.seq,
            state: event.state.as_str(),
            attempts: event.attempts,
            next_attempt_at: event.next_attempt_at.map(WireTime::from),
        })
    }
}

/// A page of events, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage {
    items: Vec<StoredEvent>,
    limit: u64,
    /// Pass it as `cursor` for the next page; `null` on the last.
    next_cursor: Option<String>,
}

/// One attempt at delivering an event.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptView {
    #[schema(value_type = String, format = DateTime)]
    started_at: WireTime,
    latency_ms: u64,
    /// The HTTP status; `null` where there was no answer.
    status: Option<u16>,
    /// What came of it.
    reason: String,
    /// The first bytes of the answer's body.
    answer: String,
}

impl From<AttemptRecord> for AttemptView {
    fn from(attempt: AttemptRecord) -> Self {
        let AttemptRecord { started_at, latency, status, reason, answer } = attempt;
        Self { started_at: started_at.into(), latency_ms: as_millis(latency), status, reason, answer }
    }
}

/// An event with every attempt.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptedEvent {
    event: StoredEvent,
    attempts: Vec<AttemptView>,
}

/// An event that is sent.
#[derive(Serialize, ToSchema)]
pub(super) struct SentEvent {
    event: StoredEvent,
}

/// How many events are sent again.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayedEvents {
    replayed: u64,
}

/// Which events to send again.
#[derive(ToSchema)]
pub(super) struct WantedReplay {
    #[schema(value_type = Uuid)]
    tenant_id: TenantId,
    /// Events that occurred at or after this time.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Events that occurred before this time. Absent: until now.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    #[schema(pattern = "^(delivered|parked|no_endpoint)$")]
    state: String,
}

impl WantedReplay {
    fn read(given: Map<String, Value>) -> Result<Self, ApiError> {
        let mut fields = Reading::new(given);
        let tenant_text = fields.text("tenant_id", 36);
        let tenant_id = tenant_text.parse::<TenantId>().ok();
        if tenant_id.is_none() && !tenant_text.is_empty() {
            fields.refuse("tenant_id", "must be a UUID");
        }
        let state = fields.text("state", 20);
        let (since, until) = (fields.time("since"), fields.optional_time("until"));
        fields.refuse_others();
        fields.finish().map_err(|RefusedFields(errors)| UseCaseError::invalid(errors))?;
        let tenant_id = tenant_id.ok_or_else(|| ApiError::internal("a tenant id was neither read nor refused"))?;
        Ok(Self { tenant_id, since, until, state })
    }
}

/// Which test event to send.
#[derive(ToSchema)]
pub(super) struct WantedTest {
    #[schema(
        default = "conversation_started",
        pattern = "^(conversation_started|message_received|ticket_(created|assigned|resolved)|escalation_triggered|agent_(assigned|released|resolved)|contact_submitted)$"
    )]
    event_type: Option<String>,
}

impl WantedTest {
    fn read(mut given: Map<String, Value>) -> Result<Self, ApiError> {
        match given.remove("event_type") {
            None | Some(Value::Null) => Ok(Self { event_type: None }),
            Some(Value::String(text)) => Ok(Self { event_type: Some(text) }),
            Some(_) => Err(ApiError::field("event_type", "must be a string")),
        }
    }
}

/// Events of tenants, newest first.
#[utoipa::path(
    get, path = "/api/v1/fetch/events", tag = "events",
    params(
        ("tenant_id" = Option<Uuid>, Query, description = "One tenant's; absent, every tenant's"),
        ("state" = Option<String>, Query, description = "`pending`, `delivered`, `parked`, `held` or `no_endpoint`"),
        ("event_type" = Option<String>, Query, description = "Such as `message_received`"),
        ("since" = Option<String>, Query, description = "Events that occurred at or after this time, as `2026-11-26T10:00:00Z`"),
        ("limit" = Option<u64>, Query, description = "1 to 500, default 100", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = Envelope<EventPage>))
)]
pub(super) async fn fetch_events(
    State(events): State<Events>,
    Params(mut query): Params,
) -> Result<Success<EventPage>, ApiError> {
    let tenant_id = query.optional::<TenantId>("tenant_id");
    let state = query.optional::<String>("state").and_then(|text| {
        let state = EventState::from_text(&text);
        if state.is_none() {
            query.refuse("state", format!("must be one of {}", EventState::TEXTS.join(", ")));
        }
        state
    });
    let event_type = query.optional::<String>("event_type");
    if event_type.as_deref().is_some_and(|text| EventType::from_text(text).is_none()) {
        query.refuse("event_type", format!("must be one of {}", EventType::TEXTS.join(", ")));
    }
    let since = query.optional::<Timestamp>("since");
    let limit = query.number("limit", paging::ROWS, paging::DEFAULT_ROWS);
    let after = query
        .optional::<String>("cursor")
        .and_then(|text| paging::read_cursor(&text).map_err(|wrong| query.refuse("cursor", wrong)).ok());
    query.finish()?;
    let page = events.page(EventFilter { tenant_id, state, event_type, since }, after, limit).await?;
    let items = page.items.into_iter().map(|(_, event)| StoredEvent::read(event));
    let items = items.collect::<Result<_, _>>()?;
    Ok(Success::ok(EventPage { items, limit, next_cursor: next_cursor(page.next) }, "Events fetched."))
}

/// One event, with every attempt.
#[utoipa::path(
    get, path = "/api/v1/fetch/event", tag = "events",
    params(
        ("tenant_id" = Uuid, Query, description = "The tenant"),
        ("event_id" = String, Query, description = "The event"),
    ),
    responses(
        (status = 200, description = "The event", body = Envelope<AttemptedEvent>),
        (status = 404, description = "`event_not_found`", body = Failure),
    )
)]
pub(super) async fn fetch_event(
    State(events): State<Events>,
    params: Params,
) -> Result<Success<AttemptedEvent>, ApiError> {
    let (tenant_id, event_id) = params.event()?;
    let (event, attempts) = events.one(tenant_id, &event_id).await?;
    let event = StoredEvent::read(event)?;
    let attempts = attempts.into_iter().map(AttemptView::from).collect();
    Ok(Success::ok(AttemptedEvent { event, attempts }, "Event fetched."))
}

/// Send an event again, outside the order of its conversation.
#[utoipa::path(
    post, path = "/api/v1/replay/event", tag = "events",
    params(
        ("tenant_id" = Uuid, Query, description = "The tenant"),
        ("event_id" = String, Query, description = "The event"),
    ),
    responses(
        (status = 200, description = "It is due now", body = Envelope<SentEvent>),
        (status = 404, description = "`event_not_found`, `tenant_not_found`", body = Failure),
        (status = 409, description = "`no_endpoint`", body = Failure),
    )
)]
pub(super) async fn replay_event(
    State(events): State<Events>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<SentEvent>, ApiError> {
    let (tenant_id, event_id) = params.event()?;
    let event = events.replay(tenant_id, &event_id, caller.admin_key).await?;
    Ok(Success::ok(SentEvent { event: StoredEvent::read(event)? }, "The event is sent again."))
}

/// Send events of a time and state again.
#[utoipa::path(
    post, path = "/api/v1/replay/events", tag = "events", request_body = WantedReplay,
    responses(
        (status = 200, description = "They are due now", body = Envelope<ReplayedEvents>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`no_endpoint`", body = Failure),
    )
)]
pub(super) async fn replay_events(
    State(events): State<Events>,
    Known(caller): Known,
    Fields(fields): Fields,
) -> Result<Success<ReplayedEvents>, ApiError> {
    let WantedReplay { tenant_id, since, until, state } = WantedReplay::read(fields)?;
    let wanted = ReplayWanted { state, since, until };
    let replayed = events.replay_all(tenant_id, wanted, caller.admin_key).await?;
    Ok(Success::ok(ReplayedEvents { replayed }, "The events are sent again."))
}

/// Make an event that says in `extra.test` that it is a test, and deliver it.
#[utoipa::path(
    post, path = "/api/v1/send/test-event", tag = "events", request_body = WantedTest,
    params(("tenant_id" = Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "It is due now", body = Envelope<SentEvent>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`no_endpoint`", body = Failure),
    )
)]
pub(super) async fn send_test_event(
    State(events): State<Events>,
    Known(caller): Known,
    params: Params,
    Fields(fields): Fields,
) -> Result<Success<SentEvent>, ApiError> {
    let tenant_id = params.tenant_id()?;
    let WantedTest { event_type } = WantedTest::read(fields)?;
    let event = events.send_test(tenant_id, &event_type.unwrap_or_default(), caller.admin_key).await?;
    Ok(Success::ok(SentEvent { event: StoredEvent::read(event)? }, "The test event is sent."))
}

/// Start a stopped endpoint: what was held is due at once, in order.
#[utoipa::path(
    post, path = "/api/v1/start/endpoint", tag = "events",
    params(("tenant_id" = Uuid, Query, description = "The tenant")),
    responses(
        (status = 200, description = "Started", body = Envelope<ChangedTenant>),
        (status = 404, description = "`tenant_not_found`", body = Failure),
        (status = 409, description = "`no_endpoint`", body = Failure),
    )
)]
pub(super) async fn start_endpoint(
    State(events): State<Events>,
    Known(caller): Known,
    params: Params,
) -> Result<Success<ChangedTenant>, ApiError> {
    let changed = events.start_endpoint(&caller, params.tenant_id()?).await?;
    Ok(Success::ok(changed.into(), "Endpoint started."))
}
