//! This replica's registration, and the registrations that it has seen.

use std::sync::Mutex;

use coherence::replica::Neighbours;
use uuid::Uuid;

/// What this replica has told of itself, and what it has seen of others.
#[derive(Default)]
pub(super) struct OwnRegistration {
    /// Counts the renewals; held while one is written, so that they are written in order.
    pub(super) renewal: tokio::sync::Mutex<u64>,
    pub(super) neighbours: Mutex<Neighbours<Uuid>>,
}
