//! The ports to events: publishing, delivering, and looking at them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use wire::TenantId;

use crate::{
    domain::{
        audit::AuditEntry,
        event::{EventState, EventView, PublishedEvent, Usage},
        tenant::Tenant,
    },
    store::{error::StoreError, page::Page},
};

/// Events of one tenant to be written together.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Whose they are.
    pub tenant_id: TenantId,
    /// In the order in which they get their numbers.
    pub events: Vec<PublishedEvent>,
    /// Messages that count.
    pub usage: Vec<Usage>,
    /// The publisher's scoped admin key, if it has one: nothing is written with a key that is no longer valid.
    pub admin_key: Option<Uuid>,
}

/// Why nothing of a publication was written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// An event with this id and another content was published before.
    #[error("event id {0} was used for another event")]
    Reused(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One worker's right to deliver a tenant's outbox for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose outbox.
    pub tenant_id: TenantId,
    /// The fencing token: the store refuses results under an older one.
    pub token: i64,
    /// Whether everything that waits for another attempt is due at once.
    pub is_restarted: bool,
}

/// An event that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct DueEvent {
    /// Its number in the tenant.
    pub seq: u64,
    /// Its id.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// Whether a receiver may ignore events of this type.
    pub is_best_effort: bool,
    /// The conversation in whose order it is delivered, if any.
    pub lane: Option<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was published.
    pub received_at: Timestamp,
    /// The body that is delivered.
    pub body: String,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
}

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub latency: Duration,
    /// The HTTP status; `None` where there was no answer.
    pub status: Option<u16>,
    /// In words.
    pub reason: String,
    /// The first bytes of the answer's body.
    pub answer: String,
}

/// What becomes of an event after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// It is done.
    Finished(EventState),
    /// It is tried again then.
    Again(Timestamp),
}

/// The result of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptResult {
    /// Which event.
    pub seq: u64,
    /// The attempt.
    pub attempt: AttemptRecord,
    /// What becomes of the event.
    pub next: NextStep,
    /// Whether the receiver failed; `None` where the attempt says nothing of the receiver.
    pub has_failed: Option<bool>,
}

/// How a receiver fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The first failed attempt after the last one that did not fail.
    pub since: Timestamp,
    /// How many attempts have failed since then.
    pub attempts: u32,
}

/// What the store answers to results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// They are written, and the claim goes on.
    Written {
        /// How the receiver fails, if it does.
        failing: Option<Failing>,
        /// Whether everything that waits for another attempt has become due meanwhile.
        is_restarted: bool,
    },
    /// The claim is over: another worker may have the outbox. Nothing was written.
    ClaimLost,
}

/// How much waits in all outboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events that are pending, those that are held included.
    pub events: u64,
    /// When the oldest of them was published.
    pub oldest: Option<Timestamp>,
    /// Tenants whose endpoint is stopped.
    pub stopped_endpoints: u64,
}

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of one tenant.
    pub tenant_id: Option<TenantId>,
    /// In one state.
    pub state: Option<EventState>,
    /// Of one type.
    pub event_type: Option<String>,
    /// That occurred at or after this time.
    pub since: Option<Timestamp>,
}

/// Which events of a tenant to send again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Whose.
    pub tenant_id: TenantId,
    /// In this state.
    pub state: EventState,
    /// That occurred at or after this time.
    pub since: Timestamp,
    /// That occurred before this time.
    pub until: Timestamp,
    /// Whose numbers follow on this one.
    pub after: u64,
    /// The caller's scoped admin key, if it has one: nothing is replayed with a key that is no longer valid.
    pub admin_key: Option<Uuid>,
}

/// Events whose numbers follow on a number.
#[derive(Clone, Debug, PartialEq)]
pub enum EventsAfter {
    /// In the order of their numbers.
    Events {
        /// The events.
        items: Vec<EventView>,
        /// The number after which the next page begins.
        next: u64,
    },
    /// The next one is no longer kept; this is the number of the oldest that is.
    Expired {
        /// The oldest number that is kept.
        first_seq: u64,
    },
}

/// Events: published, looked at, sent again, removed; and the endpoints that they go to.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Writes all of it, or nothing. Answers the number of each event; an event that came before has its number already.
    async fn publish(&self, publication: Publication) -> Result<Vec<u64>, PublishError>;

    /// Events after a number, at most `limit`; without a number, from the oldest that is kept.
    async fn events_after(
        &self,
        tenant_id: TenantId,
        after: Option<u64>,
        limit: u64,
    ) -> Result<EventsAfter, StoreError>;

    /// One event, with every attempt.
    async fn event(&self, tenant_id: TenantId, event_id: &str) -> Result<(EventView, Vec<AttemptRecord>), StoreError>;

    /// A page of events of any tenants, newest first.
    async fn events(
        &self,
        filter: EventFilter,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Page<(TenantId, EventView)>, StoreError>;

    /// Has an event sent again, outside the order of its conversation. One that is pending stays in its order. Answers it as it is then.
    async fn replay(
        &self,
        tenant_id: TenantId,
        event_id: &str,
        admin_key: Option<Uuid>,
        now: Timestamp,
    ) -> Result<EventView, StoreError>;

    /// Has events sent again, at most `limit`. Answers their numbers.
    async fn replay_all(&self, which: &Replayed, limit: u64, now: Timestamp) -> Result<Vec<u64>, StoreError>;

    /// Starts a tenant's endpoint: what was held is then due at once.
    async fn start_endpoint(&self, tenant_id: TenantId, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Stops the endpoint that a tenant had at `revision`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the tenant has changed since: the endpoint may be another one.
    async fn stop_endpoint(&self, tenant_id: TenantId, revision: u64, audit: AuditEntry) -> Result<Tenant, StoreError>;

    /// Removes events that are done and were published before, in the order of their numbers, a step for each tenant that it looks at.
    /// Answers whether more may be left.
    async fn prune(&self, kept_for: Duration, now: Timestamp) -> Result<bool, StoreError>;
}

/// The outboxes, for the workers that deliver them.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Claims at most `most` outboxes in which an event is due, the longest due first, for `period`.
    async fn claim(&self, most: u64, period: Duration) -> Result<Vec<Claim>, StoreError>;

    /// Makes everything due that waits for another attempt, in steps. Answers whether the claim still stands.
    async fn restart(&self, claim: Claim, now: Timestamp) -> Result<bool, StoreError>;

    /// Events that are due by the clock that claims are made by, the longest due first, at most `limit`.
    async fn due(&self, tenant_id: TenantId, limit: u64) -> Result<Vec<DueEvent>, StoreError>;

    /// Writes what came of attempts, makes the next events of their conversations due, and renews the claim for `period`.
    async fn record(&self, claim: Claim, results: &[AttemptResult], period: Duration) -> Result<Recorded, StoreError>;

    /// Gives everything that is pending the state `no_endpoint`, in steps, if the tenant has no callback still.
    async fn give_up(&self, claim: Claim) -> Result<(), StoreError>;

    /// Ends a claim.
    async fn release(&self, claim: Claim) -> Result<(), StoreError>;

    /// How much waits.
    async fn waiting(&self) -> Result<Waiting, StoreError>;
}
