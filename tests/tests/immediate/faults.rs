//! Everything that can go wrong, and how long changes wait meanwhile.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::{fleet::Fleet, postgres::Postgres};
use tokio::task::JoinHandle;

/// Short, so that many leases run out in a test.
pub(crate) const LEASE: Duration = Duration::from_millis(1000);
/// Rounds of every fault in a run at full size.
pub(crate) const ROUNDS: usize = 30;

/// How long changes waited.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// In milliseconds, where no replica stood still meanwhile.
    pub(crate) of_all: Mutex<Vec<u64>>,
    /// Where one did: it cannot answer before it goes on.
    pub(crate) of_replicas_paused: Mutex<Vec<u64>>,
    /// Moves when a replica is paused, and again when it goes on: odd while one is.
    pub(crate) pauses: AtomicUsize,
}

impl Waits {
    pub(crate) fn count(&self) -> usize {
        self.of_all.lock().expect("not poisoned").len()
    }
}

/// Everything that can go wrong, one thing after the other, as often as `rounds` says.
pub(crate) async fn break_everything(
    fleet: &mut Fleet,
    postgres: Option<&Postgres>,
    waits: &Waits,
    rounds: usize,
) -> BTreeMap<&'static str, usize> {
    let longer = LEASE * 3 / 2;
    let mut done = BTreeMap::new();
    for round in 0..rounds {
        let victim = round % fleet.gateways.len();
        let replica = round % fleet.replicas.len();

        fleet.gateways[victim].process.pause();
        tokio::time::sleep(longer).await;
        fleet.gateways[victim].process.resume();
        *done.entry("a gateway paused").or_default() += 1;
        tokio::time::sleep(LEASE / 2).await;

        fleet.gateways[victim].links[replica].swallow();
        tokio::time::sleep(longer).await;
        fleet.gateways[victim].links[replica].mend();
        *done.entry("a link that swallows").or_default() += 1;
        tokio::time::sleep(LEASE / 2).await;

        let cut_off = (victim + 1) % fleet.gateways.len();
        fleet.gateways[cut_off].links.iter().for_each(e2e::link::Link::swallow);
        tokio::time::sleep(longer).await;
        fleet.gateways[cut_off].links.iter().for_each(e2e::link::Link::mend);
        *done.entry("a gateway cut off").or_default() += 1;
        tokio::time::sleep(LEASE / 2).await;

        fleet.replicas[replica].process.kill();
        tokio::time::sleep(LEASE / 4).await;
        fleet.replicas[replica].restart();
        *done.entry("a replica killed").or_default() += 1;
        tokio::time::sleep(LEASE / 2).await;

        if let Some(postgres) = postgres {
            waits.pauses.fetch_add(1, Ordering::SeqCst);
            fleet.replicas[replica].process.pause();
            tokio::time::sleep(longer).await;
            fleet.replicas[replica].process.resume();
            waits.pauses.fetch_add(1, Ordering::SeqCst);
            *done.entry("a replica paused").or_default() += 1;
            tokio::time::sleep(LEASE / 2).await;

            tokio::task::block_in_place(|| postgres.restart());
            *done.entry("PostgreSQL restarted").or_default() += 1;
            tokio::time::sleep(LEASE / 2).await;
        }
    }
    done
}

/// Ends a run: nothing breaks any more, those who change things finish, and then the clients stop.
pub(crate) async fn end(
    (broken, changers): (&AtomicBool, Vec<JoinHandle<()>>),
    (over, clients): (&AtomicBool, Vec<JoinHandle<()>>),
) {
    broken.store(true, Ordering::Relaxed);
    for changer in changers {
        changer.await.expect("no panic");
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
}

/// Fails where a process has panicked.
pub(crate) fn check_logs(fleet: &Fleet) {
    let replicas = fleet.replicas.iter().map(|replica| replica.process.log());
    for log in replicas.chain(fleet.gateways.iter().map(|gateway| gateway.process.log())) {
        assert!(!log.contains("panicked"), "{log}");
    }
}
