//! Sends the outbox to the admin service: each tenant's rows in the order of their commits, until the admin service has them.
//!
//! A row is deleted after the answer. If the process dies in between, the row is sent again with the same event id, which the admin
//! service takes once. Two replicas on one PostgreSQL may send the same row: the admin service takes it once. Each sends the oldest rows
//! first, so no event of a conversation comes before an earlier one.

use std::{slice, time::Duration};

use secrecy::ExposeSecret as _;
use service::{config::SecretList, telemetry::metrics::Metrics};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wire::{TenantId, signature::RelayKey};

use super::{
    events_url::EventsUrl,
    outbox::Outbox,
    records::outbox::{self, OutboxRow},
    store::{Store, StoreError},
};

mod admin;
mod metrics;
mod pauses;
mod verdict;

use admin::Admin;
use metrics::OutboxMetrics;
use pauses::Pauses;
use verdict::Failure;

/// The admin service takes so many events, and as many usage records, in one call.
const BATCH: u64 = 100;
/// How long it waits for the admin service to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// When it looks again while rows are left. A commit whose answer was lost wakes nobody.
const LOOK_WHILE_ROWS_ARE_LEFT: Duration = Duration::from_secs(1);
const LOOK_WHILE_EMPTY: Duration = Duration::from_secs(10);
/// How long the last try may take when the process ends. What is left is sent after the next start.
const LAST_TRY: Duration = Duration::from_secs(2);

/// Sends the outbox.
pub(crate) struct Publisher {
    store: Store,
    outbox: Outbox,
    admin: Admin,
    pauses: Pauses,
    metrics: OutboxMetrics,
}

/// What came of one look at every tenant.
enum Round {
    /// Some rows are done: there may be more.
    Progress,
    /// Nothing could be sent now.
    Waiting,
    /// No tenant has rows.
    Empty,
}

impl Publisher {
    pub(crate) fn new(store: Store, outbox: Outbox, url: &EventsUrl, secrets: &SecretList, metrics: &Metrics) -> Self {
        let key = RelayKey::new(secrets.first().expose_secret().as_bytes());
        let admin = Admin::new(url, key, PATIENCE);
        Self { store, outbox, admin, pauses: Pauses::default(), metrics: OutboxMetrics::new(metrics) }
    }

    /// Publishes until `drained` is cancelled, and then tries once more to send what is left.
    pub(crate) async fn run(mut self, drained: CancellationToken) {
        // A call that is cut off here may have arrived: its rows are sent again.
        tokio::select! {
            () = drained.cancelled() => {}
            () = self.publish_for_ever() => {}
        }
        self.pauses = Pauses::default();
        let last = async { while let Ok(Round::Progress) = self.round().await {} };
        let is_late = timeout(LAST_TRY, last).await.is_err();
        let left = outbox::depth(&self.store).await.map_or(0, |depth| depth.waiting);
        if left > 0 {
            tracing::info!(rows = left, is_late, "what could not be published is sent after the next start");
        }
    }

    async fn publish_for_ever(&mut self) {
        loop {
            let pause = self.publish_due().await;
            self.metrics.measure_now_and_then(&self.store).await;
            tokio::select! {
                () = self.outbox.woken() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Sends what may be sent now; answers after how long to look again.
    async fn publish_due(&mut self) -> Duration {
        loop {
            if let Some(left) = self.pauses.left_of_everyone() {
                return left;
            }
            match self.round().await {
                Ok(Round::Progress) => self.metrics.measure_now_and_then(&self.store).await,
                Ok(Round::Waiting) => return LOOK_WHILE_ROWS_ARE_LEFT.min(self.pauses.shortest_left()),
                Ok(Round::Empty) => return LOOK_WHILE_EMPTY,
                Err(reason) => self.pauses.everyone_failed(&reason),
            }
        }
    }

    /// Sends one batch of each tenant that is not paused: so a tenant with many rows does not hold up the others.
    ///
    /// # Errors
    /// Why nothing can be sent for any tenant.
    async fn round(&mut self) -> Result<Round, String> {
        let tenants = outbox::tenants(&self.store).await.map_err(database)?;
        self.pauses.keep_only(&tenants);
        if tenants.is_empty() {
            return Ok(Round::Empty);
        }
        let mut round = Round::Waiting;
        for tenant_id in tenants.into_iter().filter(|tenant_id| !self.pauses.is_paused(*tenant_id)).collect::<Vec<_>>()
        {
            match self.publish_batch(tenant_id).await {
                Ok(()) => {
                    self.pauses.succeeded(tenant_id);
                    round = Round::Progress;
                }
                Err(Failure::OfTenant(reason)) => self.pauses.tenant_failed(tenant_id, &reason),
                Err(Failure::OfEveryone(reason) | Failure::Refused(reason)) => return Err(reason),
            }
        }
        Ok(round)
    }

    /// Sends a tenant's oldest rows. One call is taken whole or refused whole; where several rows are refused, they are sent one by
    /// one, so that a row that the admin service will never take holds up no other.
    async fn publish_batch(&self, tenant_id: TenantId) -> Result<(), Failure> {
        let rows = outbox::oldest(&self.store.of(tenant_id), BATCH).await.map_err(database_of_everyone)?;
        match self.admin.publish(tenant_id, &rows).await {
            Ok(()) => self.delete(tenant_id, &rows).await,
            Err(Failure::Refused(_)) if rows.len() > 1 => {
                for row in &rows {
                    match self.admin.publish(tenant_id, slice::from_ref(row)).await {
                        Ok(()) => self.delete(tenant_id, slice::from_ref(row)).await?,
                        Err(Failure::Refused(reason)) => self.refuse(tenant_id, row, &reason).await?,
                        Err(failure) => return Err(failure),
                    }
                }
                Ok(())
            }
            Err(Failure::Refused(reason)) => match rows.first() {
                Some(row) => self.refuse(tenant_id, row, &reason).await,
                None => Ok(()),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn delete(&self, tenant_id: TenantId, sent: &[OutboxRow]) -> Result<(), Failure> {
        outbox::delete(&self.store.of(tenant_id), sent).await.map_err(database_of_everyone)
    }

    async fn refuse(&self, tenant_id: TenantId, row: &OutboxRow, reason: &str) -> Result<(), Failure> {
        tracing::error!(
            %tenant_id,
            event_id = row.event_id,
            reason,
            "the admin service refuses an event: it stays in the outbox, and is not sent again"
        );
        outbox::refuse(&self.store.of(tenant_id), row, reason).await.map_err(database_of_everyone)
    }
}

fn database(error: StoreError) -> String {
    format!("the chat backend's database: {error}")
}

fn database_of_everyone(error: StoreError) -> Failure {
    Failure::OfEveryone(database(error))
}
