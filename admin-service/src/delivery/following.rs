//! Holds the lease of this replica's workers: asks for it, and applies and acknowledges changes, as a gateway does over its stream.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::states::TenantStates;
use crate::propagation::{FromGateway, Granted, Propagation, ToGateway, worker_id};

/// How soon to begin again after the stream has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// Holds a lease while workers want one, until `leaving`.
pub(super) async fn follow(
    states: TenantStates,
    propagation: Propagation,
    lease: Duration,
    leaving: CancellationToken,
) {
    let id = worker_id();
    loop {
        tokio::select! {
            () = leaving.cancelled() => return,
            () = states.wanted() => {}
        }
        let (to_replica, from_worker) = mpsc::channel(16);
        let (to_worker, from_replica) = mpsc::channel(16);
        let watching = propagation.watch(id, ReceiverStream::new(from_worker), to_worker);
        // Either ends once the other has: the replica still hears that the lease is given up.
        let (watched, ()) = tokio::join!(watching, hold(&states, to_replica, from_replica, lease, &leaving));
        if let Err(error) = watched {
            tracing::warn!(%error, "the workers got no lease: events wait");
        }
        let _ = tokio::time::timeout(PAUSE, leaving.cancelled()).await;
    }
}

/// Asks three times a lease, and acknowledges what has changed. Ends where nobody wants the lease any more, where changes were lost, and
/// on `leaving`; then no attempt begins under the lease, and the replica is told so.
async fn hold(
    states: &TenantStates,
    to_replica: mpsc::Sender<FromGateway>,
    mut from_replica: mpsc::Receiver<ToGateway>,
    lease: Duration,
    leaving: &CancellationToken,
) {
    let mut ask_at = Instant::now();
    loop {
        let message = tokio::select! {
            () = leaving.cancelled() => break,
            message = from_replica.recv() => message,
            () = sleep_until(ask_at) => {
                if !states.was_wanted() {
                    break;
                }
                let (id, seen) = states.ask();
                if to_replica.send(FromGateway::Ask { id, seen }).await.is_err() {
                    break;
                }
                ask_at = Instant::now() + lease / 3;
                continue;
            }
        };
        let Some(ToGateway { changes, through, grant }) = message else { break };
        let Some(through) = states.apply(&changes, through).await else { break };
        if to_replica.send(FromGateway::Acknowledge { through }).await.is_err() {
            break;
        }
        if let Some(Granted { id, lease_ms, .. }) = grant {
            states.granted(id, lease_ms);
        }
    }
    states.give_up().await;
    let _ = to_replica.send(FromGateway::GiveUp).await;
}
