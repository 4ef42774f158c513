//! Delivers events to tenants' callbacks: which outboxes are delivered, which addresses may be reached, each signed attempt, and what
//! becomes of the event.
//!
//! `claiming` gives outboxes in which events are due a `turn` each; a turn makes attempts (`attempt`) side by side, and writes what came
//! of them. An attempt has two steps, with a look at the lease between both (`states`): `exchange::prepare` makes the connection, and
//! `exchange::Prepared::send` writes the request and reads the answer.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ed25519_dalek::SigningKey;
use tokio_util::sync::CancellationToken;

mod address;
mod address_ranges;
mod attempt;
mod claiming;
mod connection;
mod deadline;
mod endpoint;
mod endpoint_url;
mod exchange;
mod failed;
mod first_byte;
mod following;
mod metrics;
mod outcome;
mod refused;
mod request;
mod resolver;
mod retry_after;
mod standard_keys;
mod standing;
mod states;
mod tls;
mod tls_failed;
mod turn;
mod verdict;
mod watching;
mod workers;

#[cfg(test)]
mod test_certificates;
#[cfg(test)]
mod test_receiver;

pub(crate) use address::AddressGuard;
pub(crate) use metrics::DeliveryMetrics;

use crate::{
    bell::Bell, config::WebhookConfig, directory::Directory, events::Events, propagation::Propagation,
    store::OutboxStore,
};

/// What delivery is made of.
pub(crate) struct Delivery {
    pub(crate) store: Arc<dyn OutboxStore>,
    pub(crate) events: Events,
    pub(crate) directory: Directory,
    pub(crate) propagation: Propagation,
    pub(crate) bell: Bell,
    /// Signs `v1a` of Standard Webhooks.
    pub(crate) own_key: SigningKey,
    pub(crate) config: WebhookConfig,
    pub(crate) lease: Duration,
    pub(crate) metrics: DeliveryMetrics,
}

impl Delivery {
    /// Delivers until `stopping`. Then no attempt begins; those that have begun end and are recorded; then the lease is given up.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let states = states::TenantStates::new(self.directory, self.own_key);
        let guard = AddressGuard::new(&self.config);
        let retention = self.config.retention;
        let workers = Arc::new(workers::Workers {
            store: self.store,
            events: self.events.clone(),
            states: states.clone(),
            connector: connection::Connector::new(guard, tls::Tls::from_system(), resolver::SystemResolver),
            bell: self.bell,
            config: self.config,
            metrics: self.metrics,
            lacks_lease: AtomicBool::new(false),
            stopping: stopping.clone(),
        });
        let leaving = CancellationToken::new();
        let delivering = async {
            claiming::claim_and_deliver(Arc::clone(&workers)).await;
            leaving.cancel();
        };
        tokio::join!(
            delivering,
            following::follow(states, self.propagation, self.lease, leaving.clone()),
            watching::watch(Arc::clone(&workers), self.events, retention),
        );
    }
}
