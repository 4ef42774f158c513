//! Claims outboxes in which events are due, and gives each a turn.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use wire::time::since_boot_ms;

use super::{
    standing::Standing,
    turn,
    workers::{Workers, claim_period},
};

/// Outboxes that a replica delivers at once.
const MOST_TURNS: usize = 512;
/// How often to look where nobody rings: for attempts whose time has come, and for what other replicas have taken in.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Delivers until the process stops; attempts that have begun end first.
pub(super) async fn claim_and_deliver(workers: Arc<Workers>) {
    let mut turns = JoinSet::new();
    let mut is_well = true;
    loop {
        while let Some(ended) = turns.try_join_next() {
            report(ended);
        }
        let room = MOST_TURNS.saturating_sub(turns.len());
        if workers.lacks_lease.swap(false, Ordering::Relaxed) {
            // Without a lease this replica would claim outboxes that it cannot deliver. Leave them to another replica.
            tokio::select! {
                () = workers.stopping.cancelled() => break,
                () = workers.states.lease_is_held() => {}
            }
        }
        let mut claimed = 0;
        if room > 0 {
            let (asked, period) = (since_boot_ms(), claim_period(&workers.config));
            match workers.store.claim(room as u64, period).await {
                Ok(claims) => {
                    is_well = true;
                    claimed = claims.len();
                    for claim in claims {
                        let standing = Arc::new(Standing::new(asked, period));
                        turns.spawn(turn::deliver(Arc::clone(&workers), claim, standing));
                    }
                }
                Err(error) if std::mem::replace(&mut is_well, false) => {
                    tracing::warn!(%error, "no outbox can be claimed: events wait");
                }
                Err(_) => {}
            }
        }
        if claimed == room && room > 0 {
            // There may be more, for which there is room once a turn has ended.
            continue;
        }
        tokio::select! {
            () = workers.stopping.cancelled() => break,
            () = workers.bell.rung(), if room > 0 => {}
            Some(ended) = turns.join_next() => report(ended),
            () = sleep(LOOK_EVERY) => {}
        }
    }
    // An attempt takes one time-out at most, and then its result is written.
    let _ = timeout(claim_period(&workers.config), async { while turns.join_next().await.is_some() {} }).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a turn ended badly: its claim runs out");
    }
}
