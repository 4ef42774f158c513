//! A worker that was paused, and wakes after its tenants have changed, sends nothing under their old state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    postgres::Postgres,
    process::PATIENCE,
    publisher::{Publisher, message_received},
    receiver::{Manner, Receiver},
    scale,
    world::Operator,
};
use futures_util::future::join_all;

use crate::setting::{CLAIM, fleet, nobody_panicked, tenants};

/// How many tenants there are. Chat backends publish for each all the time.
const CHANGED: usize = 8;
/// How often a replica is paused in a run at full size.
const ROUNDS: usize = 100;

/// Makes a change. Answers when it had returned, and the new secret if there is one. A replica that is paused within a transaction holds
/// up this change until PostgreSQL ends its session: a change that is refused meanwhile is made again.
async fn change(operator: &Operator, path: String) -> (Instant, Option<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match operator.call("POST", &path, None).await {
            (200, answer) => return (Instant::now(), answer["data"]["tenant_secret"].as_str().map(str::to_owned)),
            // Nothing was changed. After `outcome_unknown` the test would not know which secret is current.
            (503, answer) if answer["error_code"] == "store_unavailable" => {
                assert!(Instant::now() < deadline, "{path} does not succeed: {answer}");
            }
            (status, answer) => panic!("{path} answered {status}: {answer}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_paused_sends_nothing_under_a_state_that_is_over() {
    let postgres = Postgres::start();
    let fleet = fleet(&postgres, "paused").await;
    let receiver = Arc::new(Receiver::start(|_| Manner::Takes(Duration::ZERO)).await);
    let tenants = tenants(&fleet, &receiver, CHANGED).await;
    let publisher = Arc::new(Publisher::to(fleet.replicas.iter().map(|replica| replica.grpc)));
    let is_over = Arc::new(AtomicBool::new(false));
    let publishing: Vec<_> = tenants
        .iter()
        .cloned()
        .map(|tenant| {
            let (publisher, is_over) = (Arc::clone(&publisher), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut published = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // Outside any order, so that many attempts are under way at any moment.
                    let events: Vec<_> =
                        (0..8).map(|_| message_received(format!("{:x}", fastrand::u128(..)), None)).collect();
                    publisher.publish(&tenant.id, &events).await;
                    published += events.len();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                published
            })
        })
        .collect();

    let mut pasts: Vec<Past> = tenants.iter().map(|tenant| Past::of(&tenant.secret)).collect();
    for round in 0..scale::of(ROUNDS) {
        let (victim, other) = (&fleet.replicas[round % 2], fleet.replicas[(round + 1) % 2].operator());
        tokio::time::sleep(Duration::from_millis(200 + fastrand::u64(..20))).await;
        victim.process.pause();
        // Half of the tenants are suspended, the others get another secret.
        let changes = tenants.iter().enumerate().map(|(index, tenant)| {
            let action = if index % 2 == 0 { "suspend/tenant" } else { "rotate/tenant-secret" };
            change(&other, format!("/{action}?tenant_id={}", tenant.id))
        });
        let changed = join_all(changes).await;
        // In every other round its claims have run out as well.
        tokio::time::sleep(if round % 4 < 2 { CLAIM } else { Duration::ZERO }).await;
        victim.process.resume();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for ((tenant, past), (since, secret)) in tenants.iter().zip(&mut pasts).zip(changed) {
            match secret {
                Some(secret) => past.secrets.push((since, secret)),
                None => {
                    past.suspensions.push((since, Instant::now()));
                    change(&other, format!("/reactivate/tenant?tenant_id={}", tenant.id)).await;
                }
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut published = 0;
    for publishing in publishing {
        published += publishing.await.expect("no panic");
    }
    let arrivals = receiver.arrivals();
    let (mut late, mut of_old_secrets, mut of_new_ones) = (0, 0, 0);
    for (tenant, past) in tenants.iter().zip(&pasts) {
        for arrival in arrivals.iter().filter(|arrival| arrival.header("x-bloonio-tenant-id") == tenant.id) {
            late += usize::from(past.was_suspended(arrival.at));
            let is_signed_with = |(_, secret): &(Instant, String)| arrival.is_signed_with(secret);
            let newest_first = past.secrets.iter().enumerate().rev();
            let (signed_with, _) =
                newest_first.into_iter().find(|(_, known)| is_signed_with(known)).expect("a known secret");
            match past.secrets.get(signed_with + 1) {
                Some((retired_at, _)) if *retired_at < arrival.at => of_old_secrets += 1,
                _ => of_new_ones += usize::from(signed_with > 0),
            }
        }
    }
    eprintln!(
        "{} rounds, {published} events, {} requests: {late} while suspended, {of_old_secrets} under an old secret, {of_new_ones} under one \
         that was rotated to",
        scale::of(ROUNDS),
        arrivals.len(),
    );
    assert_eq!((late, of_old_secrets), (0, 0));
    assert!(of_new_ones > 100, "what is not suspended goes on");
    nobody_panicked(&fleet);
}

/// What was true of a tenant, and when.
struct Past {
    /// From when a suspension had returned until a reactivation was called.
    suspensions: Vec<(Instant, Instant)>,
    /// Its secrets, and when the rotation to each had returned.
    secrets: Vec<(Instant, String)>,
}

impl Past {
    fn of(secret: &str) -> Self {
        Self { suspensions: Vec::new(), secrets: vec![(Instant::now(), secret.to_owned())] }
    }

    fn was_suspended(&self, at: Instant) -> bool {
        self.suspensions.iter().any(|(from, until)| (*from..*until).contains(&at))
    }
}
