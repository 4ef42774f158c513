//! `TenantEvents`: a tenant's own events, for the gateway that has verified its signature.

use std::time::Duration;

use proto::events::v1::{
    Attempt, GetEventRequest, GetEventResponse, ListEventsRequest, ListEventsResponse, ReplayEventRequest,
    ReplayEventResponse, ReplayEventsRequest, ReplayEventsResponse, SendTestEventRequest, SendTestEventResponse,
    StartEndpointRequest, StartEndpointResponse, StoredEvent, tenant_events_server::TenantEvents,
};
use service::ApiError;
use tonic::{Request, Response, Status};
use wire::time::as_millis;

use super::{convert, edge::logged, metadata::request_id};
use crate::{
    domain::{audit::Caller, event::EventView},
    events::{Events, ReplayWanted},
    paging,
    store::AttemptRecord,
};

pub(super) struct TenantEventsService {
    events: Events,
}

impl TenantEventsService {
    pub(super) fn new(events: Events) -> Self {
        Self { events }
    }
}

fn stored(event: EventView) -> StoredEvent {
    StoredEvent {
        body_json: event.body,
        seq: event.seq,
        state: event.state.as_str().to_owned(),
        attempts: event.attempts,
        next_attempt_at: event.next_attempt_at.map(convert::timestamp),
    }
}

fn attempt(attempt: AttemptRecord) -> Attempt {
    Attempt {
        started_at: Some(convert::timestamp(attempt.started_at)),
        latency_ms: u32::try_from(as_millis(attempt.latency)).unwrap_or(u32::MAX),
        status: attempt.status.map(u32::from),
        reason: attempt.reason,
        answer: attempt.answer,
    }
}

#[tonic::async_trait]
impl TenantEvents for TenantEventsService {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Result<Response<ListEventsResponse>, Status> {
        let ListEventsRequest { tenant_id, cursor, limit } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        // The cursor is the number of the last event that was read.
        let after = match cursor.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| ApiError::field("cursor", "must be a next_cursor of this list"))?),
        };
        let limit = if limit == 0 { paging::DEFAULT_ROWS } else { u64::from(limit).min(*paging::ROWS.end()) };
        let pulled = self.events.after(tenant_id, after, limit).await.map_err(logged)?;
        let items = pulled.items.into_iter().map(stored).collect();
        Ok(Response::new(ListEventsResponse { items, next_cursor: pulled.next.to_string() }))
    }

    async fn get_event(&self, request: Request<GetEventRequest>) -> Result<Response<GetEventResponse>, Status> {
        let GetEventRequest { tenant_id, event_id } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let (event, attempts) = self.events.one(tenant_id, &event_id).await.map_err(logged)?;
        let attempts = attempts.into_iter().map(attempt).collect();
        Ok(Response::new(GetEventResponse { event: Some(stored(event)), attempts }))
    }

    async fn replay_event(
        &self,
        request: Request<ReplayEventRequest>,
    ) -> Result<Response<ReplayEventResponse>, Status> {
        let ReplayEventRequest { tenant_id, event_id } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let event = self.events.replay(tenant_id, &event_id, None).await.map_err(logged)?;
        Ok(Response::new(ReplayEventResponse { event: Some(stored(event)) }))
    }

    async fn replay_events(
        &self,
        request: Request<ReplayEventsRequest>,
    ) -> Result<Response<ReplayEventsResponse>, Status> {
        let ReplayEventsRequest { tenant_id, since, until, state } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let since = since.ok_or_else(|| ApiError::field("since", "is required"))?;
        let since = convert::time(since).ok_or_else(|| ApiError::field("since", "is not a time"))?;
        let until = until.map(|until| convert::time(until).ok_or_else(|| ApiError::field("until", "is not a time")));
        let wanted = ReplayWanted { state, since, until: until.transpose()? };
        let replayed = self.events.replay_all(tenant_id, wanted, None).await.map_err(logged)?;
        Ok(Response::new(ReplayEventsResponse { replayed }))
    }

    async fn send_test_event(
        &self,
        request: Request<SendTestEventRequest>,
    ) -> Result<Response<SendTestEventResponse>, Status> {
        let SendTestEventRequest { tenant_id, event_type } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let event = self.events.send_test(tenant_id, &event_type, None).await.map_err(logged)?;
        Ok(Response::new(SendTestEventResponse { event: Some(stored(event)) }))
    }

    async fn start_endpoint(
        &self,
        request: Request<StartEndpointRequest>,
    ) -> Result<Response<StartEndpointResponse>, Status> {
        let caller =
            Caller { actor: "tenant".to_owned(), request_id: request_id(request.metadata().as_ref()), admin_key: None };
        let StartEndpointRequest { tenant_id, wait_ms } = request.into_inner();
        let tenant_id = convert::tenant_id_from_bytes(&tenant_id)?;
        let wait = (wait_ms > 0).then(|| Duration::from_millis(wait_ms.into()));
        let started = self.events.start_endpoint_within(&caller, tenant_id, wait).await;
        let (tenant, is_everywhere) = started.map_err(logged)?;
        let endpoint_state = tenant.endpoint_state().as_str();
        Ok(Response::new(StartEndpointResponse { endpoint_state: endpoint_state.to_owned(), is_everywhere }))
    }
}
