//! Tenants' events.

use std::sync::atomic::Ordering;

use e2e::signed::Tenant;
use proto::events::v1::{
    Attempt, GetEventRequest, GetEventResponse, ListEventsRequest, ListEventsResponse, ReplayEventRequest,
    ReplayEventResponse, ReplayEventsRequest, ReplayEventsResponse, SendTestEventRequest, SendTestEventResponse,
    StartEndpointRequest, StartEndpointResponse, StoredEvent, tenant_events_server::TenantEvents,
};
use serde_json::{Value, json};
use service::ApiError;
use tonic::{Request as Rpc, Response as Answer, Status};
use wire::ErrorCode;

use super::{FakeAdmin, id_of, later};

/// The id of the one event that each tenant has.
pub(crate) const EVENT_ID: &str = "e-1";

/// A cursor whose events are no longer kept.
pub(crate) const EXPIRED_CURSOR: &str = "1";

/// The body of a tenant's event.
pub(crate) fn event_body(tenant_id: &str, event_type: &str) -> Value {
    json!({
        "event_type": event_type, "event_id": EVENT_ID, "tenant_id": tenant_id, "occurred_at": "2026-11-26T10:00:00.000Z",
        "conversation_id": "c1", "visitor_user_id": "u1", "extra": {"event_id": EVENT_ID, "note": {"deep": [1]}},
    })
}

fn stored(tenant_id: &[u8], event_type: &str, state: &str) -> StoredEvent {
    let tenant_id = wire::TenantId::from_slice(tenant_id).expect("16 bytes").to_string();
    StoredEvent {
        body_json: event_body(&tenant_id, event_type).to_string(),
        seq: 7,
        state: state.to_owned(),
        attempts: 2,
        next_attempt_at: (state == "pending").then(later).flatten(),
    }
}

fn found(event_id: &str) -> Result<(), Status> {
    if event_id == EVENT_ID { Ok(()) } else { Err(ApiError::new(ErrorCode::EventNotFound, "Call ListEvents.").into()) }
}

impl FakeAdmin {
    /// Notes whose events a call is about, and what it asks for.
    fn asked(&self, tenant_id: &[u8], what: String) {
        self.events_asked.lock().expect("not poisoned").push((tenant_id.to_vec(), what));
    }

    /// What was asked about a tenant's events. A question about another tenant's events fails the test.
    pub(crate) fn asked_of_events(&self, tenant: &Tenant) -> Vec<String> {
        let asked = self.events_asked.lock().expect("not poisoned");
        assert!(asked.iter().all(|(id, _)| *id == id_of(tenant)), "another tenant's: {asked:?}");
        asked.iter().map(|(_, what)| what.clone()).collect()
    }
}

#[tonic::async_trait]
impl TenantEvents for FakeAdmin {
    async fn list_events(&self, request: Rpc<ListEventsRequest>) -> Result<Answer<ListEventsResponse>, Status> {
        self.called("ListEvents", &request)?;
        let ListEventsRequest { tenant_id, cursor, limit } = request.into_inner();
        self.asked(&tenant_id, format!("list {cursor:?} {limit}"));
        match cursor.as_str() {
            EXPIRED_CURSOR => return Err(ApiError::new(ErrorCode::CursorExpired, "The oldest is 5.").into()),
            "x" => return Err(ApiError::field("cursor", "must be a next_cursor of this list").into()),
            _ => {}
        }
        let items =
            vec![stored(&tenant_id, "message_received", "pending"), stored(&tenant_id, "ticket_created", "held")];
        Ok(Answer::new(ListEventsResponse { items, next_cursor: "8".to_owned() }))
    }

    async fn get_event(&self, request: Rpc<GetEventRequest>) -> Result<Answer<GetEventResponse>, Status> {
        self.called("GetEvent", &request)?;
        let GetEventRequest { tenant_id, event_id } = request.into_inner();
        self.asked(&tenant_id, format!("get {event_id}"));
        found(&event_id)?;
        let attempt = |status, reason: &str, answer: &str| Attempt {
            started_at: later(),
            latency_ms: 12,
            status,
            reason: reason.to_owned(),
            answer: answer.to_owned(),
        };
        let attempts = vec![attempt(None, "no connection", ""), attempt(Some(500), "refused", "oh")];
        Ok(Answer::new(GetEventResponse { event: Some(stored(&tenant_id, "message_received", "parked")), attempts }))
    }

    async fn replay_event(&self, request: Rpc<ReplayEventRequest>) -> Result<Answer<ReplayEventResponse>, Status> {
        self.called("ReplayEvent", &request)?;
        let ReplayEventRequest { tenant_id, event_id } = request.into_inner();
        self.asked(&tenant_id, format!("replay {event_id}"));
        found(&event_id)?;
        Ok(Answer::new(ReplayEventResponse { event: Some(stored(&tenant_id, "message_received", "pending")) }))
    }

    async fn replay_events(&self, request: Rpc<ReplayEventsRequest>) -> Result<Answer<ReplayEventsResponse>, Status> {
        self.called("ReplayEvents", &request)?;
        let ReplayEventsRequest { tenant_id, since, until, state } = request.into_inner();
        let at = |time: prost_types::Timestamp| format!("{}.{:09}", time.seconds, time.nanos);
        let (since, until) = (since.map(at).expect("a time"), until.map(at));
        self.asked(&tenant_id, format!("replay {state} {since} {until:?}"));
        Ok(Answer::new(ReplayEventsResponse { replayed: 3 }))
    }

    async fn send_test_event(
        &self,
        request: Rpc<SendTestEventRequest>,
    ) -> Result<Answer<SendTestEventResponse>, Status> {
        self.called("SendTestEvent", &request)?;
        let SendTestEventRequest { tenant_id, event_type } = request.into_inner();
        self.asked(&tenant_id, format!("test {event_type:?}"));
        let event_type = if event_type.is_empty() { "conversation_started" } else { &event_type };
        Ok(Answer::new(SendTestEventResponse { event: Some(stored(&tenant_id, event_type, "pending")) }))
    }

    async fn start_endpoint(
        &self,
        request: Rpc<StartEndpointRequest>,
    ) -> Result<Answer<StartEndpointResponse>, Status> {
        self.called("StartEndpoint", &request)?;
        let StartEndpointRequest { tenant_id, wait_ms } = request.into_inner();
        self.asked(&tenant_id, "start".to_owned());
        assert!(wait_ms > 0, "the gateway waits no longer than its caller");
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms.into())).await;
        }
        Ok(Answer::new(StartEndpointResponse { endpoint_state: "active".to_owned(), is_everywhere }))
    }
}
