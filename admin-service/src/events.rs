//! Events of chat backends: taken, shown, sent again. Their delivery is in [`crate::delivery`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::{
    FieldError, TenantId,
    time::{WireTime, now},
};

use crate::{
    bell::Bell,
    domain::{
        audit::{Action, AuditEntry, Caller},
        event::{EventState, EventType, EventView, PublishedEvent, Usage},
        tenant::Tenant,
    },
    errors::UseCaseError,
    propagation::{Changed, Propagation},
    store::{
        AtRevision, AttemptRecord, EventFilter, EventStore, EventsAfter, Page, Publication, PublishError, Replayed,
        TenantStore,
    },
};

/// Events and usage records that one call may publish, each.
pub(crate) const MOST_AT_ONCE: usize = 100;

/// Events that one statement of a replay makes due.
const REPLAYED_AT_ONCE: u64 = 500;

/// What a tenant is shown of its events.
pub(crate) struct Pulled {
    pub(crate) items: Vec<EventView>,
    /// The number after which the next page begins.
    pub(crate) next: u64,
}

/// Which events to send again.
pub(crate) struct ReplayWanted {
    pub(crate) state: String,
    pub(crate) since: Timestamp,
    /// `None`: until now.
    pub(crate) until: Option<Timestamp>,
}

#[derive(Clone)]
pub(crate) struct Events {
    store: Arc<dyn EventStore>,
    tenants: Arc<dyn TenantStore>,
    propagation: Propagation,
    bell: Bell,
}

impl Events {
    pub(crate) fn new<S: EventStore + TenantStore + 'static>(
        store: Arc<S>,
        propagation: Propagation,
        bell: Bell,
    ) -> Self {
        Self { store: store.clone(), tenants: store, propagation, bell }
    }

    /// Takes events and usage of a tenant, all of it or nothing. Answers each event's id and number. It is on disk when this returns.
    pub(crate) async fn publish(
        &self,
        tenant_id: TenantId,
        events: Vec<Value>,
        usage: Vec<Value>,
    ) -> Result<Vec<(String, u64)>, UseCaseError> {
        let mut errors = Vec::new();
        let events = read_each("events", events, &mut errors, |object| PublishedEvent::read(tenant_id, object));
        let usage = read_each("usage", usage, &mut errors, Usage::read);
        if !errors.is_empty() {
            return Err(UseCaseError::invalid(errors));
        }
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let numbers = self.write(Publication { tenant_id, events, usage }).await?;
        Ok(ids.into_iter().zip(numbers).collect())
    }

    async fn write(&self, publication: Publication) -> Result<Vec<u64>, UseCaseError> {
        let tenant_id = publication.tenant_id;
        let numbers = self.store.publish(publication).await.map_err(|error| match error {
            PublishError::Reused(id) => UseCaseError::EventIdReused(id),
            PublishError::Store(error) => error.into(),
        })?;
        self.bell.ring(tenant_id);
        Ok(numbers)
    }

    /// A tenant's events after a number, in the order of their numbers.
    /// Without a number, they begin at the oldest that is kept.
    pub(crate) async fn after(
        &self,
        tenant_id: TenantId,
        after: Option<u64>,
        limit: u64,
    ) -> Result<Pulled, UseCaseError> {
        match self.store.events_after(tenant_id, after, limit).await? {
            EventsAfter::Events { items, next } => Ok(Pulled { items, next }),
            EventsAfter::Expired { first_seq } => Err(UseCaseError::CursorExpired { first_seq }),
        }
    }

    /// One event, with every attempt.
    pub(crate) async fn one(
        &self,
        tenant_id: TenantId,
        event_id: &str,
    ) -> Result<(EventView, Vec<AttemptRecord>), UseCaseError> {
        Ok(self.store.event(tenant_id, event_id).await?)
    }

    /// A page of events of any tenants, newest first.
    pub(crate) async fn page(
        &self,
        filter: EventFilter,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Page<(TenantId, EventView)>, UseCaseError> {
        Ok(self.store.events(filter, after, limit).await?)
    }

    /// Has an event sent again, outside the order of its conversation.
    pub(crate) async fn replay(&self, tenant_id: TenantId, event_id: &str) -> Result<EventView, UseCaseError> {
        self.expect_endpoint(tenant_id).await?;
        let event = self.store.replay(tenant_id, event_id, now()).await?;
        self.bell.ring(tenant_id);
        Ok(event)
    }

    /// Has events of a time and state sent again. Answers how many.
    pub(crate) async fn replay_all(&self, tenant_id: TenantId, wanted: ReplayWanted) -> Result<u64, UseCaseError> {
        let replayable = [EventState::Delivered, EventState::Parked, EventState::NoEndpoint];
        let state = EventState::from_text(&wanted.state).filter(|state| replayable.contains(state));
        let Some(state) = state else {
            let message = "must be delivered, parked or no_endpoint".to_owned();
            return Err(UseCaseError::invalid(vec![FieldError { field: "state".to_owned(), message }]));
        };
        self.expect_endpoint(tenant_id).await?;
        let now = now();
        let until = wanted.until.unwrap_or(now);
        let mut which = Replayed { tenant_id, state, since: wanted.since, until, after: 0 };
        let mut total = 0;
        loop {
            let replayed = self.store.replay_all(&which, REPLAYED_AT_ONCE, now).await?;
            total += replayed.len() as u64;
            self.bell.ring(tenant_id);
            // Go on after the last number: what was delivered again meanwhile is not taken a second time.
            match replayed.last() {
                Some(last) => which.after = *last,
                None => return Ok(total),
            }
        }
    }

    /// Makes an event that says that it is a test.
    pub(crate) async fn send_test(&self, tenant_id: TenantId, event_type: &str) -> Result<EventView, UseCaseError> {
        let tenant = self.expect_endpoint(tenant_id).await?;
        let event_type = if event_type.is_empty() { EventType::ConversationStarted.as_str() } else { event_type };
        let id = Uuid::now_v7().to_string();
        let at = WireTime::from(now()).to_string();
        let mut event = json!({
            "event_id": id, "event_type": event_type, "occurred_at": at,
            "extra": {"test": true, "tenant_name": tenant.settings.tenant_name},
        });
        let kind = EventType::from_text(event_type);
        let takeover = match kind {
            Some(EventType::AgentAssigned) => Some("ASSIGNED"),
            Some(EventType::AgentReleased) => Some("WAITING"),
            Some(EventType::AgentResolved) => Some("RESOLVED"),
            _ => None,
        };
        if let Some(status) = takeover {
            event["status"] = status.into();
            event["operator_id"] = "test".into();
        }
        if kind == Some(EventType::EscalationTriggered) {
            event["escalation_reason"] = "direct".into();
        }
        let object = event.as_object().cloned().unwrap_or_default();
        let event = PublishedEvent::read(tenant_id, object).map_err(UseCaseError::invalid)?;
        self.write(Publication { tenant_id, events: vec![event], usage: Vec::new() }).await?;
        Ok(self.store.event(tenant_id, &id).await?.0)
    }

    /// Starts a tenant's endpoint: what was held is due at once. An endpoint that is not stopped stays as it is.
    pub(crate) async fn start_endpoint(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        self.expect_endpoint(tenant_id).await?;
        self.set_endpoint(
            tenant_id,
            false,
            AuditEntry::new(tenant_id, caller, Action::StartEndpoint, ["endpoint_state"]),
        )
        .await
    }

    /// Stops a tenant's endpoint: its events are held until it is started.
    pub(crate) async fn stop_endpoint(
        &self,
        tenant_id: TenantId,
        reason: &str,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        let caller = Caller { actor: "delivery".to_owned(), request_id: String::new() };
        let audit = AuditEntry::new(tenant_id, &caller, Action::EndpointStopped, ["endpoint_state"]);
        tracing::warn!(%tenant_id, reason, "the endpoint of a tenant is stopped: its events are held");
        self.set_endpoint(tenant_id, true, audit).await
    }

    async fn set_endpoint(
        &self,
        tenant_id: TenantId,
        is_stopped: bool,
        audit: AuditEntry,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        let store = Arc::clone(&self.store);
        let change = async move {
            let tenant = store.set_endpoint(tenant_id, is_stopped, audit).await?;
            Ok(AtRevision { revision: tenant.revision, value: tenant })
        };
        let changed = self.propagation.commit_and_propagate(change).await?;
        self.bell.ring(tenant_id);
        Ok(changed)
    }

    async fn expect_endpoint(&self, tenant_id: TenantId) -> Result<Tenant, UseCaseError> {
        let tenant = self.tenants.find(tenant_id).await?.ok_or(UseCaseError::TenantNotFound)?;
        if tenant.settings.callback_url_base.is_none() {
            return Err(UseCaseError::NoEndpoint);
        }
        Ok(tenant)
    }

    /// Removes events that need not be kept any longer, in small steps.
    pub(crate) async fn prune(&self, kept_for: Duration) {
        loop {
            match self.store.prune(kept_for, now()).await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => return,
                Err(error) => return tracing::warn!(%error, "old events were not removed: trying again later"),
            }
        }
    }
}

/// Reads each item of a list. A refused field is named with its item's place, as in `events[3].event_type`.
fn read_each<T>(
    name: &str,
    items: Vec<Value>,
    errors: &mut Vec<FieldError>,
    read: impl Fn(Map<String, Value>) -> Result<T, Vec<FieldError>>,
) -> Vec<T> {
    if items.len() > MOST_AT_ONCE {
        let message = format!("must have at most {MOST_AT_ONCE} entries");
        errors.push(FieldError { field: name.to_owned(), message });
        return Vec::new();
    }
    let mut taken = Vec::with_capacity(items.len());
    for (place, item) in items.into_iter().enumerate() {
        let at = |field: &str| {
            if field.is_empty() { format!("{name}[{place}]") } else { format!("{name}[{place}].{field}") }
        };
        match item {
            Value::Object(object) => match read(object) {
                Ok(item) => taken.push(item),
                Err(refused) => errors.extend(
                    refused.into_iter().map(|error| FieldError { field: at(&error.field), message: error.message }),
                ),
            },
            _ => errors.push(FieldError { field: at(""), message: "must be an object".to_owned() }),
        }
    }
    taken
}
