//! `chatrelay.events.v1.TenantEvents`: a tenant's own events, and their delivery.

use std::time::Duration;

use jiff::Timestamp;
use proto::events::v1 as rpc;
use serde_json::{Map, Value};
use service::ApiError;
use wire::{ErrorCode, TenantId, request_id::RequestId, time::WireTime};

use super::{
    transport::{AdminClient, propagation_wait_ms},
    visitors::Committed,
    wire_time::{self, time},
};

/// An event, and where it is on its way to the tenant's receiver.
pub(crate) struct Event {
    /// The body that is delivered.
    pub(crate) body: Map<String, Value>,
    /// 1, 2, 3, … in the tenant.
    pub(crate) seq: u64,
    pub(crate) state: String,
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Option<WireTime>,
}

/// Events in the order of their numbers.
pub(crate) struct EventPage {
    pub(crate) items: Vec<Event>,
    /// Never empty: after the last event it waits for the next one.
    pub(crate) next_cursor: String,
}

/// One attempt at delivering an event.
pub(crate) struct Attempt {
    pub(crate) started_at: WireTime,
    pub(crate) latency_ms: u32,
    /// The HTTP status; `None` where there was no answer.
    pub(crate) status: Option<u32>,
    pub(crate) reason: String,
    /// The first bytes of the answer's body.
    pub(crate) answer: String,
}

/// Which events are sent again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Events that occurred at or after this time.
    pub(crate) since: Timestamp,
    /// Events that occurred before this time. `None`: until now.
    pub(crate) until: Option<Timestamp>,
    pub(crate) state: String,
}

impl AdminClient {
    /// At most `limit` events after a cursor; an empty cursor is before the first event.
    pub(crate) async fn events(
        &self,
        tenant_id: TenantId,
        cursor: String,
        limit: u32,
        request_id: &RequestId,
    ) -> Result<EventPage, ApiError> {
        let message = rpc::ListEventsRequest { tenant_id: bytes(tenant_id), cursor, limit };
        let rpc::ListEventsResponse { items, next_cursor } = self.call(request_id, message).await?;
        if next_cursor.is_empty() {
            return Err(ApiError::internal("the admin service sent no cursor"));
        }
        let items = items.into_iter().map(event).collect::<Result<_, _>>()?;
        Ok(EventPage { items, next_cursor })
    }

    /// One event, with every attempt.
    pub(crate) async fn event(
        &self,
        tenant_id: TenantId,
        event_id: String,
        request_id: &RequestId,
    ) -> Result<(Event, Vec<Attempt>), ApiError> {
        let message = rpc::GetEventRequest { tenant_id: bytes(tenant_id), event_id };
        let answer = self.call(request_id, message).await?;
        let attempts = answer.attempts.into_iter().map(attempt).collect::<Result<_, _>>()?;
        Ok((sent(answer.event)?, attempts))
    }

    /// Sends an event again. It waits at most `within` for the answer.
    pub(crate) async fn replay_event(
        &self,
        tenant_id: TenantId,
        event_id: String,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Event, ApiError> {
        let message = rpc::ReplayEventRequest { tenant_id: bytes(tenant_id), event_id };
        sent(self.change(request_id, message, within).await.map_err(perhaps_sent)?.event)
    }

    /// Sends events of a time and state again, and answers how many. It waits at most `within` for the answer.
    pub(crate) async fn replay_events(
        &self,
        tenant_id: TenantId,
        replay: Replay,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<u64, ApiError> {
        let Replay { since, until, state } = replay;
        let (since, until) = (Some(wire_time::sent(since)), until.map(wire_time::sent));
        let message = rpc::ReplayEventsRequest { tenant_id: bytes(tenant_id), since, until, state };
        Ok(self.change(request_id, message, within).await.map_err(perhaps_sent)?.replayed)
    }

    /// Makes a test event and sends it; without a type, the admin service chooses one. It waits at most `within` for the answer.
    pub(crate) async fn send_test_event(
        &self,
        tenant_id: TenantId,
        event_type: Option<String>,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Event, ApiError> {
        let event_type = event_type.unwrap_or_default();
        let message = rpc::SendTestEventRequest { tenant_id: bytes(tenant_id), event_type };
        sent(self.change(request_id, message, within).await.map_err(perhaps_sent)?.event)
    }

    /// Starts a stopped endpoint, and answers its state. It waits at most `within` until the change is true everywhere.
    pub(crate) async fn start_endpoint(
        &self,
        tenant_id: TenantId,
        within: Duration,
        request_id: &RequestId,
    ) -> Result<Committed<String>, ApiError> {
        let wait_ms = propagation_wait_ms(within);
        let message = rpc::StartEndpointRequest { tenant_id: bytes(tenant_id), wait_ms };
        let answer = self.change(request_id, message, within).await?;
        Ok(Committed { answer: answer.endpoint_state, is_everywhere: answer.is_everywhere })
    }
}

fn bytes(tenant_id: TenantId) -> Vec<u8> {
    tenant_id.as_uuid().as_bytes().to_vec()
}

/// The event of an answer.
fn sent(stored: Option<rpc::StoredEvent>) -> Result<Event, ApiError> {
    event(stored.ok_or_else(|| ApiError::internal("the admin service sent no event"))?)
}

fn event(stored: rpc::StoredEvent) -> Result<Event, ApiError> {
    let rpc::StoredEvent { body_json, seq, state, attempts, next_attempt_at } = stored;
    let body = serde_json::from_str(&body_json).map_err(ApiError::internal)?;
    let next_attempt_at = next_attempt_at.map(|at| time(Some(at))).transpose()?;
    Ok(Event { body, seq, state, attempts, next_attempt_at })
}

fn attempt(made: rpc::Attempt) -> Result<Attempt, ApiError> {
    let rpc::Attempt { started_at, latency_ms, status, reason, answer } = made;
    Ok(Attempt { started_at: time(started_at)?, latency_ms, status, reason, answer })
}

/// An error of a call that sends events. Where there is no answer, the caller must look first: a second call sends them once more.
fn perhaps_sent(error: ApiError) -> ApiError {
    if error.code() != ErrorCode::DirectoryUnavailable {
        return error;
    }
    ApiError::new(
        ErrorCode::DirectoryUnavailable,
        "The admin service gives no answer right now. It may have sent the events: look at GET /api/v1/relay/fetch/events \
         before you send this call again, because each call sends them once more.",
    )
    .retry_after_seconds(1)
    .caused_by(error.cause().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_a_fault_of_ours() {
        let good = || rpc::StoredEvent { body_json: r#"{"event_id":"e-1"}"#.to_owned(), seq: 1, ..Default::default() };
        assert!(sent(Some(good())).is_ok_and(|event| event.body["event_id"] == "e-1" && event.seq == 1));
        for broken in [
            None,
            Some(rpc::StoredEvent { body_json: String::new(), ..good() }),
            Some(rpc::StoredEvent { body_json: "[]".to_owned(), ..good() }),
            Some(rpc::StoredEvent {
                next_attempt_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..good()
            }),
        ] {
            let error = sent(broken).err().expect("refused");
            assert_eq!(error.code(), ErrorCode::Internal);
        }
        assert!(attempt(rpc::Attempt::default()).is_err(), "an attempt has a time");
    }

    #[test]
    fn a_lost_answer_says_to_look_before_events_are_sent_once_more() {
        let lost = perhaps_sent(ApiError::new(ErrorCode::DirectoryUnavailable, "x").caused_by("reset"));
        assert!(lost.message().contains("/relay/fetch/events"), "{lost}");
        assert_eq!((lost.retry_after(), lost.cause()), (Some(1), Some("reset")));
        let refused = perhaps_sent(ApiError::new(ErrorCode::EventNotFound, "none"));
        assert_eq!((refused.code(), refused.message()), (ErrorCode::EventNotFound, "none"));
    }
}
