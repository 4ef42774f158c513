//! One attempt at delivering an event: the connection first, then a look at the lease, then the request.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderMap;
use jiff::Timestamp;
use service::{call_span, telemetry};
use tracing::{Instrument as _, Span, field::Empty};
use wire::{TenantId, time::now};

use super::{
    deadline::Deadline,
    endpoint::Endpoint,
    exchange,
    failed::AttemptFailed,
    outcome::Outcome,
    request::KeptEvent,
    standing::Standing,
    verdict::{Tried, Verdict},
    workers::Workers,
};
use crate::{
    domain::event::EventState,
    store::{AttemptRecord, AttemptResult, DueEvent, NextStep},
};

/// What came of an attempt.
pub(super) enum Attempted {
    /// It was made.
    Made {
        result: AttemptResult,
        /// Why the receiver wants no more events, if it said so.
        stop: Option<String>,
        verdict: Verdict,
        /// The tenant's revision that the attempt was made under.
        revision: u64,
    },
    /// It did not begin: the tenant's state has changed, or nothing vouches for it.
    NotBegun {
        /// The event's number.
        seq: u64,
    },
}

/// Makes an attempt.
pub(super) async fn attempt(
    workers: Arc<Workers>,
    tenant_id: TenantId,
    standing: Arc<Standing>,
    endpoint: Arc<Endpoint>,
    event: DueEvent,
) -> Attempted {
    let trace = telemetry::kept(event.traceparent.as_deref());
    let span = call_span!(
        telemetry::is_recorded(&trace),
        else DEBUG,
        "deliver",
        otel.name = "deliver",
        otel.kind = "producer",
        tenant_id = %tenant_id,
        event_id = event.event_id,
        event_type = event.event_type,
        attempt = event.attempts + 1,
        http.response.status_code = Empty,
    );
    telemetry::adopt_caller(&span, &trace);
    let (started_at, clock) = (now(), Instant::now());
    let sending = send(&workers, tenant_id, &standing, &endpoint, &event, trace).instrument(span.clone());
    // Record a panic as a failed attempt: then the event is tried again after a pause, and parked in the end.
    let sent = AssertUnwindSafe(sending).catch_unwind().await.unwrap_or(Some(Err(AttemptFailed::Panicked)));
    let Some(outcome) = sent else {
        return Attempted::NotBegun { seq: event.seq };
    };
    if let Ok(answer) = &outcome {
        span.record("http.response.status_code", answer.status);
    }
    judge(&workers, &event, endpoint.revision, (started_at, clock.elapsed()), &outcome)
}

/// Connects, looks at the lease, signs and sends. `None` where the attempt did not begin.
async fn send(
    workers: &Workers,
    tenant_id: TenantId,
    standing: &Standing,
    endpoint: &Arc<Endpoint>,
    event: &DueEvent,
    mut trace: HeaderMap,
) -> Option<Outcome> {
    let deadline = Deadline::after(workers.config.timeout);
    let url = endpoint.url(&event.event_type)?;
    let prepared = match workers.connector.guard().check_url(&url) {
        Ok(target) => match exchange::prepare(&workers.connector, &target, deadline).await {
            Ok(prepared) => prepared,
            Err(failed) => return Some(Err(failed)),
        },
        Err(refused) => return Some(Err(refused.into())),
    };
    telemetry::inject(&Span::current(), &mut trace);
    let traceparent = trace.get("traceparent").and_then(|value| value.to_str().ok());
    let body = Bytes::from(event.body.clone());
    let kept =
        KeptEvent { id: &event.event_id, event_type: &event.event_type, occurred_at: event.occurred_at, body: &body };
    // Nothing waits between here and the write. If the process is paused here beyond the lease, the write is refused.
    let begun = workers.states.begin(tenant_id, endpoint).filter(|_| standing.is_valid_for(deadline.remaining()))?;
    match endpoint.sign(kept, now(), traceparent) {
        Ok(request) => prepared.send(request, begun.until.min(standing.until())).await,
        Err(unsendable) => {
            tracing::error!(%unsendable, "an event is parked");
            Some(Err(AttemptFailed::Unsendable))
        }
    }
}

/// What becomes of the event.
fn judge(
    workers: &Workers,
    event: &DueEvent,
    revision: u64,
    (started_at, latency): (Timestamp, Duration),
    outcome: &Outcome,
) -> Attempted {
    let ended_at = now();
    // Count an event that is dated in the future from its publication: it would never be old enough to be parked.
    let since = event.occurred_at.min(event.received_at);
    // If the clock was set back, the age is negative: count the event as new.
    let age = ended_at.duration_since(since).try_into().unwrap_or_default();
    let tried = Tried {
        is_best_effort: event.is_best_effort,
        attempts: event.attempts + 1,
        age,
        retry_base: workers.config.retry_base,
        random: fastrand::f64(),
    };
    let verdict = Verdict::of(outcome, &tried);
    let (next, reason, stop) = match &verdict {
        Verdict::Delivered => (NextStep::Finished(EventState::Delivered), "delivered".to_owned(), None),
        Verdict::Parked(reason) => (NextStep::Finished(EventState::Parked), reason.clone(), None),
        Verdict::Retry { after, reason } => {
            (NextStep::Again(ended_at.saturating_add(*after).unwrap_or(Timestamp::MAX)), reason.clone(), None)
        }
        // It is held with all others, and due when the endpoint is started.
        Verdict::StopEndpoint(reason) => (NextStep::Again(ended_at), reason.clone(), Some(reason.clone())),
    };
    let is_delivered = verdict == Verdict::Delivered;
    // A replay has no lane and was tried before. Do not count it as a first delivery.
    if is_delivered && (event.lane.is_some() || event.attempts == 0) {
        workers.metrics.delivered(ended_at.duration_since(event.received_at).as_secs_f64());
    }
    let is_ours = matches!(outcome, Err(AttemptFailed::Panicked | AttemptFailed::Unsendable));
    let counts = !is_ours && verdict.counts_as_failing(event.is_best_effort);
    let attempt = AttemptRecord {
        started_at,
        latency,
        status: outcome.as_ref().ok().map(|answer| answer.status),
        reason,
        answer: outcome.as_ref().map(|answer| answer.body.clone()).unwrap_or_default(),
    };
    let has_failed = (is_delivered || counts).then_some(!is_delivered);
    Attempted::Made { result: AttemptResult { seq: event.seq, attempt, next, has_failed }, stop, verdict, revision }
}
