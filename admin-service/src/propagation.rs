//! How a committed change reaches every gateway before its caller hears of it: leases granted and pushed to
//! ([`watcher`]), the history followed ([`following`]), the other replicas heard and told ([`replicas`]), and the change itself
//! waiting for all of them ([`spread`]).
//!
//! Why it is right is in [`coherence`], whose machines this drives; here are the clock, the database, the waiting.

use std::time::Duration;

use tokio::time::timeout;

mod feed;
mod following;
mod holders;
mod metrics;
mod registration;
mod replicas;
mod report;
mod spread;
mod state;
mod watcher;

pub(crate) use holders::worker_id;
pub(crate) use metrics::PropagationMetrics;
pub(crate) use report::{Changed, PropagationReport};
pub(crate) use state::{GatewayId, Propagation};
pub(crate) use watcher::{FromGateway, Granted, ToGateway};

impl Propagation {
    /// Follows the history and keeps the other replicas posted, until [`Propagation::close`].
    pub(crate) async fn run(&self) {
        let inner = &*self.0;
        tokio::select! {
            () = inner.closing.cancelled() => {}
            _ = async { tokio::join!(inner.follow(), inner.listen(), inner.report(), inner.keep_registered()) } => {}
        }
        inner.retire().await;
    }

    /// Ends every stream, once no change needs what comes down one of them, or `patience` is over. Leases go on until they
    /// run out.
    pub(crate) async fn close(&self, patience: Duration) {
        let mut in_flight = self.0.in_flight.subscribe();
        let _ = timeout(patience, in_flight.wait_for(|count| *count == 0)).await;
        self.0.closing.cancel();
    }
}
