//! Events of chat backends: taken, shown, sent again. Their delivery is in [`crate::delivery`].

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::{FieldError, TenantId, time::now};

use crate::{
    bell::Bell,
    domain::{
        audit::{Action, AuditEntry, Caller},
        event::{EventState, EventView, PublishedEvent, Usage},
        tenant::Tenant,
    },
    errors::UseCaseError,
    propagation::{Changed, Propagation},
    store::{
        AtRevision, AttemptRecord, EventFilter, EventStore, EventsAfter, Page, Publication, PublishError, Replayed,
        StoreError, TenantStore,
    },
};

/// How many events one call may publish at most, and how many usage records.
pub(crate) const MOST_AT_ONCE: usize = 100;

/// How many events a replay makes due at once, at most.
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
        admin_key: Option<Uuid>,
    ) -> Result<Vec<(String, u64)>, UseCaseError> {
        let mut errors = Vec::new();
        let events = read_each("events", events, &mut errors, |object| PublishedEvent::read(tenant_id, object));
        let usage = read_each("usage", usage, &mut errors, Usage::read);
        if !errors.is_empty() {
            return Err(UseCaseError::invalid(errors));
        }
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let numbers = self.write(Publication { tenant_id, events, usage, admin_key }).await?;
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
    pub(crate) async fn replay(
        &self,
        tenant_id: TenantId,
        event_id: &str,
        admin_key: Option<Uuid>,
    ) -> Result<EventView, UseCaseError> {
        self.expect_endpoint(tenant_id).await?;
        let event = self.store.replay(tenant_id, event_id, admin_key, now()).await?;
        self.bell.ring(tenant_id);
        Ok(event)
    }

    /// Has events of a time and state sent again. Answers how many.
    pub(crate) async fn replay_all(
        &self,
        tenant_id: TenantId,
        wanted: ReplayWanted,
        admin_key: Option<Uuid>,
    ) -> Result<u64, UseCaseError> {
        let replayable = [EventState::Delivered, EventState::Parked, EventState::NoEndpoint];
        let state = EventState::from_text(&wanted.state).filter(|state| replayable.contains(state));
        let Some(state) = state else {
            let message = "must be delivered, parked or no_endpoint".to_owned();
            return Err(UseCaseError::invalid(vec![FieldError { field: "state".to_owned(), message }]));
        };
        self.expect_endpoint(tenant_id).await?;
        let now = now();
        let until = wanted.until.unwrap_or(now);
        let mut which = Replayed { tenant_id, state, since: wanted.since, until, after: 0, admin_key };
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
    pub(crate) async fn send_test(
        &self,
        tenant_id: TenantId,
        event_type: &str,
        admin_key: Option<Uuid>,
    ) -> Result<EventView, UseCaseError> {
        let tenant = self.expect_endpoint(tenant_id).await?;
        let id = Uuid::now_v7().to_string();
        let event = PublishedEvent::test(tenant_id, &tenant.settings.tenant_name, &id, event_type, now());
        let event = event.map_err(UseCaseError::invalid)?;
        self.write(Publication { tenant_id, events: vec![event], usage: Vec::new(), admin_key }).await?;
        Ok(self.store.event(tenant_id, &id).await?.0)
    }

    /// Starts a tenant's endpoint: what was held is due at once. An endpoint that is not stopped stays as it is.
    pub(crate) async fn start_endpoint(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
    ) -> Result<Changed<Tenant>, UseCaseError> {
        self.expect_endpoint(tenant_id).await?;
        let started = self.propagation.commit_and_propagate(self.starting(caller, tenant_id)).await?;
        self.bell.ring(tenant_id);
        Ok(started)
    }

    /// As [`Events::start_endpoint`], and waits up to `wait`. Answers whether it is true everywhere.
    pub(crate) async fn start_endpoint_within(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
        wait: Option<Duration>,
    ) -> Result<(Tenant, bool), UseCaseError> {
        self.expect_endpoint(tenant_id).await?;
        let started = self.propagation.commit_within(self.starting(caller, tenant_id), wait).await?;
        self.bell.ring(tenant_id);
        Ok(started)
    }

    fn starting(
        &self,
        caller: &Caller,
        tenant_id: TenantId,
    ) -> impl Future<Output = Result<AtRevision<Tenant>, StoreError>> + Send + use<> {
        let audit = AuditEntry::new(tenant_id, caller, Action::StartEndpoint, ["endpoint_state"]);
        let store = Arc::clone(&self.store);
        async move { store.start_endpoint(tenant_id, audit).await.map(at_revision) }
    }

    /// Stops the endpoint that a tenant had at `revision`: its events are held until it is started. Where the tenant has changed since,
    /// nothing is stopped: what failed may be another receiver than the one it has now.
    pub(crate) async fn stop_endpoint(
        &self,
        tenant_id: TenantId,
        revision: u64,
        reason: &str,
    ) -> Result<(), UseCaseError> {
        let caller = Caller { actor: "delivery".to_owned(), request_id: String::new(), admin_key: None };
        let audit = AuditEntry::new(tenant_id, &caller, Action::EndpointStopped, ["endpoint_state"]);
        let store = Arc::clone(&self.store);
        let stopping = async move { store.stop_endpoint(tenant_id, revision, audit).await.map(at_revision) };
        match self.propagation.commit_and_propagate(stopping).await {
            Ok(_) => tracing::warn!(%tenant_id, reason, "the endpoint of a tenant is stopped: its events are held"),
            Err(StoreError::Conflict) => {
                tracing::info!(%tenant_id, reason, "an endpoint that has changed is not stopped")
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
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

fn at_revision(tenant: Tenant) -> AtRevision<Tenant> {
    AtRevision { revision: tenant.revision, value: tenant }
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
