//! A tenant's own events on the signed lane: what was delivered, and sending it again. The relay answers these calls itself, and
//! the admin service keeps the events. The tenant is always the one whose signature was verified.

use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use service::{ApiError, Envelope, Failure, Success, body::json_object, query::Query};

use super::{
    admin_call::AdminCall,
    shapes::{
        events::{
            AttemptedEvent, DeliveryAttempt, NamedEvent, ReplayedEvents, SentEvent, StartedEndpoint, TenantEvent,
            TenantEvents, WantedReplay, WantedTestEvent,
        },
        signed::TAG,
    },
};
use crate::admin;

/// Calls that read events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventRead {
    List,
    One,
}

/// Calls that send events, or let them be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventChange {
    ReplayOne,
    ReplayMany,
    SendTest,
    StartEndpoint,
}

/// Events of a page, at most and unless said otherwise.
const MOST_EVENTS: u64 = 500;
const DEFAULT_EVENTS: u64 = 100;

impl EventRead {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "fetch/events" => Some(Self::List),
            "fetch/event" => Some(Self::One),
            _ => None,
        }
    }

    /// Answers the call. The caller bounds its time.
    pub(super) async fn answer(self, call: &AdminCall<'_>, query: Option<&str>) -> Result<Response, ApiError> {
        // The published client does not encode a plus.
        let query = Query::parse_literal_plus(query);
        match self {
            Self::List => fetch_events(call, query).await,
            Self::One => fetch_event(call, query).await,
        }
    }
}

impl EventChange {
    pub(super) fn at(rest: &str) -> Option<Self> {
        match rest {
            "replay/event" => Some(Self::ReplayOne),
            "replay/events" => Some(Self::ReplayMany),
            "send/test-event" => Some(Self::SendTest),
            "start/endpoint" => Some(Self::StartEndpoint),
            _ => None,
        }
    }

    /// Makes the change, and answers by the deadline.
    pub(super) async fn answer(self, call: &AdminCall<'_>, body: &[u8]) -> Result<Response, ApiError> {
        let given = json_object(body)?;
        match self {
            Self::ReplayOne => replay_event(call, given).await,
            Self::ReplayMany => replay_events(call, given).await,
            Self::SendTest => send_test_event(call, given).await,
            Self::StartEndpoint => start_endpoint(call).await,
        }
    }
}

/// The tenant's events in the order of their numbers, which have no gaps: so a tenant can prove that it misses none.
#[utoipa::path(
    get, path = "/api/v1/relay/fetch/events", tag = TAG,
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before. Absent: from the first event"),
        ("limit" = Option<u64>, Query, minimum = 1, description = "100 unless said otherwise. More than 500 means 500"),
    ),
    responses(
        (status = 200, description = "The events that follow the cursor", body = Envelope<TenantEvents>),
        (status = 410, description = "`cursor_expired`: the next event is no longer kept. The message names the oldest that is", body = Failure),
    )
)]
pub(super) async fn fetch_events(call: &AdminCall<'_>, mut query: Query) -> Result<Response, ApiError> {
    let cursor = query.optional::<String>("cursor").unwrap_or_default();
    let limit = query.number("limit", 1..=u64::MAX, DEFAULT_EVENTS).min(MOST_EVENTS);
    query.finish()?;
    let limit = u32::try_from(limit).map_err(ApiError::internal)?;
    let page = call.admin.events(call.tenant.id, cursor, limit, call.request_id).await?;
    let items = page.items.into_iter().map(TenantEvent::from).collect();
    Ok(Success::ok(TenantEvents { items, next_cursor: page.next_cursor }, "Events fetched.").into_response())
}

/// One event, with every attempt at delivering it.
#[utoipa::path(
    get, path = "/api/v1/relay/fetch/event", tag = TAG,
    params(("event_id" = String, Query)),
    responses(
        (status = 200, description = "The event", body = Envelope<AttemptedEvent>),
        (status = 404, description = "`event_not_found`", body = Failure),
    )
)]
pub(super) async fn fetch_event(call: &AdminCall<'_>, mut query: Query) -> Result<Response, ApiError> {
    let event_id = query.required::<String>("event_id").unwrap_or_default();
    query.finish()?;
    let (event, attempts) = call.admin.event(call.tenant.id, event_id, call.request_id).await?;
    let attempts = attempts.into_iter().map(DeliveryAttempt::from).collect();
    Ok(Success::ok(AttemptedEvent { event: event.into(), attempts }, "Event fetched.").into_response())
}

/// Sends an event again, at once and outside the order of its conversation.
#[utoipa::path(
    post, path = "/api/v1/relay/replay/event", tag = TAG, request_body = NamedEvent,
    responses(
        (status = 200, description = "The event is due now", body = Envelope<SentEvent>),
        (status = 404, description = "`event_not_found`", body = Failure),
        (status = 409, description = "`no_endpoint`: the tenant has no callback", body = Failure),
    )
)]
pub(super) async fn replay_event(call: &AdminCall<'_>, given: Map<String, Value>) -> Result<Response, ApiError> {
    let NamedEvent { event_id } = NamedEvent::read(given)?;
    let event = call.admin.replay_event(call.tenant.id, event_id, call.left(), call.request_id).await?.into();
    Ok(Success::ok(SentEvent { event }, "The event is sent again.").into_response())
}

/// Sends the events of a time and a state again.
#[utoipa::path(
    post, path = "/api/v1/relay/replay/events", tag = TAG, request_body = WantedReplay,
    responses(
        (status = 200, description = "The events are due now", body = Envelope<ReplayedEvents>),
        (status = 409, description = "`no_endpoint`: the tenant has no callback", body = Failure),
    )
)]
pub(super) async fn replay_events(call: &AdminCall<'_>, given: Map<String, Value>) -> Result<Response, ApiError> {
    let WantedReplay { since, until, state } = WantedReplay::read(given)?;
    let replay = admin::Replay { since, until, state };
    let replayed = call.admin.replay_events(call.tenant.id, replay, call.left(), call.request_id).await?;
    Ok(Success::ok(ReplayedEvents { replayed }, "The events are sent again.").into_response())
}

/// Makes an event that says in `extra.test` that it is a test, and sends it.
#[utoipa::path(
    post, path = "/api/v1/relay/send/test-event", tag = TAG, request_body = WantedTestEvent,
    responses(
        (status = 200, description = "The test event is due now", body = Envelope<SentEvent>),
        (status = 409, description = "`no_endpoint`: the tenant has no callback", body = Failure),
    )
)]
pub(super) async fn send_test_event(call: &AdminCall<'_>, given: Map<String, Value>) -> Result<Response, ApiError> {
    let WantedTestEvent { event_type } = WantedTestEvent::read(given)?;
    let event = call.admin.send_test_event(call.tenant.id, event_type, call.left(), call.request_id).await?.into();
    Ok(Success::ok(SentEvent { event }, "The test event is sent.").into_response())
}

/// Starts the tenant's stopped endpoint: the events that were held are due at once, in order. Takes no body.
#[utoipa::path(
    post, path = "/api/v1/relay/start/endpoint", tag = TAG,
    responses(
        (status = 200, description = "Started", body = Envelope<StartedEndpoint>),
        (status = 409, description = "`no_endpoint`: the tenant has no callback", body = Failure),
        (status = 503, description = "`change_propagating`: it is made, and not true everywhere yet", body = Failure),
    )
)]
pub(super) async fn start_endpoint(call: &AdminCall<'_>) -> Result<Response, ApiError> {
    let started = call.admin.start_endpoint(call.tenant.id, call.left(), call.request_id).await?;
    let endpoint_state = started.everywhere(
        "The endpoint is started, and that is not true everywhere yet. Send the call again, signed anew: it waits for the rest.",
    )?;
    let data = StartedEndpoint { endpoint_state };
    Ok(Success::ok(data, "Endpoint started: the events that were held are due.").into_response())
}
