//! What the workers of a replica share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{connection::Connector, metrics::DeliveryMetrics, states::TenantStates};
use crate::{bell::Bell, config::WebhookConfig, events::Events, store::OutboxStore};

/// How long an outbox is claimed. Each result renews it. An attempt takes at most half of it, and begins only in its first half.
pub(super) fn claim_period(config: &WebhookConfig) -> Duration {
    config.timeout * 2
}

/// What the workers of a replica share.
pub(super) struct Workers {
    pub(super) store: Arc<dyn OutboxStore>,
    pub(super) events: Events,
    pub(super) states: TenantStates,
    pub(super) connector: Connector,
    pub(super) bell: Bell,
    pub(super) config: WebhookConfig,
    pub(super) metrics: DeliveryMetrics,
    /// Whether a turn ended because this replica got no lease in time.
    pub(super) lacks_lease: AtomicBool,
    /// No attempt begins any more.
    pub(super) stopping: CancellationToken,
}
