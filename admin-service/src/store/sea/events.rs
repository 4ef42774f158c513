//! Events in the database: written as they are published, delivered, shown, sent again, and removed when they need not be kept.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, prelude::*};
use wire::TenantId;

use super::{
    connection::SeaStore,
    values::{number_from_row, stored_time},
};
use crate::{
    domain::{audit::AuditEntry, event::EventView, tenant::Tenant},
    store::{
        error::StoreError,
        page::Page,
        ports::{
            AttemptRecord, AttemptResult, Claim, DueEvent, EventFilter, EventStore, EventsAfter, OutboxStore,
            Publication, PublishError, Recorded, Replayed, Waiting,
        },
    },
};

mod attempts;
mod claims;
mod looking;
mod pruning;
mod publishing;
mod replaying;
mod rows;
mod steps;

#[async_trait]
impl EventStore for SeaStore {
    async fn publish(&self, publication: Publication) -> Result<Vec<u64>, PublishError> {
        publishing::publish(self, publication).await
    }

    async fn events_after(
        &self,
        tenant_id: TenantId,
        after: Option<u64>,
        limit: u64,
    ) -> Result<EventsAfter, StoreError> {
        looking::after(self, tenant_id, after, limit).await
    }

    async fn event(&self, tenant_id: TenantId, event_id: &str) -> Result<(EventView, Vec<AttemptRecord>), StoreError> {
        looking::one(self, tenant_id, event_id).await
    }

    async fn events(
        &self,
        filter: EventFilter,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Page<(TenantId, EventView)>, StoreError> {
        looking::page(self, filter, after, limit).await
    }

    async fn replay(
        &self,
        tenant_id: TenantId,
        event_id: &str,
        admin_key: Option<Uuid>,
        now: Timestamp,
    ) -> Result<EventView, StoreError> {
        replaying::one(self, tenant_id, event_id, admin_key, now).await
    }

    async fn replay_all(&self, which: &Replayed, limit: u64, now: Timestamp) -> Result<Vec<u64>, StoreError> {
        replaying::all(self, which, limit, now).await
    }

    async fn start_endpoint(&self, id: TenantId, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change_tenant(id, audit, |_, row, _| {
            row.endpoint_stopped_at = Set(None);
            Ok(())
        })
        .await
    }

    async fn stop_endpoint(&self, id: TenantId, revision: u64, audit: AuditEntry) -> Result<Tenant, StoreError> {
        self.change_tenant(id, audit, |before, row, at| {
            if number_from_row(before.revision)? != revision {
                return Err(StoreError::Conflict);
            }
            row.endpoint_stopped_at = Set(Some(stored_time(at)));
            Ok(())
        })
        .await
    }

    async fn prune(&self, kept_for: Duration, now: Timestamp) -> Result<bool, StoreError> {
        pruning::prune(self, kept_for, now).await
    }
}

#[async_trait]
impl OutboxStore for SeaStore {
    async fn claim(&self, most: u64, period: Duration) -> Result<Vec<Claim>, StoreError> {
        claims::claim(self, most, period).await
    }

    async fn restart(&self, claim: Claim, now: Timestamp) -> Result<bool, StoreError> {
        steps::restart(self, claim, now).await
    }

    async fn due(&self, tenant_id: TenantId, limit: u64) -> Result<Vec<DueEvent>, StoreError> {
        claims::due(self, tenant_id, limit).await
    }

    async fn record(&self, claim: Claim, results: &[AttemptResult], period: Duration) -> Result<Recorded, StoreError> {
        attempts::record(self, claim, results, period).await
    }

    async fn give_up(&self, claim: Claim) -> Result<(), StoreError> {
        steps::give_up(self, claim).await
    }

    async fn release(&self, claim: Claim) -> Result<(), StoreError> {
        claims::release(self, claim).await
    }

    async fn waiting(&self) -> Result<Waiting, StoreError> {
        claims::waiting(self).await
    }
}
