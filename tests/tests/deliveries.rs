//! Events reach their receivers whatever fails: two replicas of the admin service on PostgreSQL, each killed and paused while it delivers,
//! and receivers that hang, fail, push back or are slow.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    fleet::{Fleet, Replica},
    postgres::Postgres,
    process::PATIENCE,
    publisher::{Publisher, message_received},
    receiver::{Manner, Receiver},
    scale,
    signed::Tenant,
    world::Operator,
};
use futures_util::future::join_all;
use serde_json::json;

/// Tenants of a run. The first four have bad receivers.
const TENANTS: usize = 100;
const BAD: usize = 4;
/// Conversations of each tenant.
const CONVERSATIONS: usize = 2;
/// Events of a run at full size.
const EVENTS: usize = 10_000;
/// Chat backends that publish side by side.
const PUBLISHERS: usize = 10;
/// Of each replica.
const FAULTS: usize = 5;
/// Short, so that claims, which stand twice as long, and leases run out in a test.
const TIMEOUT: Duration = Duration::from_millis(1000);
const LEASE: Duration = Duration::from_millis(1000);

async fn fleet(postgres: &Postgres, name: &str) -> Fleet {
    let url = postgres.database(name);
    let millis = |time: Duration| time.as_millis().to_string();
    let settings = [
        ("ADMIN_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ("ADMIN_WEBHOOK_TIMEOUT_MS", &millis(TIMEOUT)),
        ("ADMIN_WEBHOOK_RETRY_BASE_MS", "100"),
        ("ADMIN_LEASE_MS", &millis(LEASE)),
        // So long a replica that is paused in a transaction may hold up the other one.
        ("ADMIN_DATABASE_STATEMENT_TIMEOUT_MS", "2000"),
        ("ADMIN_ACCESS_LOG", "false"),
    ];
    Fleet::start(Some(&url), 0, &settings).await
}

fn nobody_panicked(fleet: &Fleet) {
    for replica in &fleet.replicas {
        let log = replica.process.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// What one run is made of.
struct Run {
    name: &'static str,
    /// How long it takes to publish the events.
    lasting: Duration,
    has_bad_receivers: bool,
    has_faults: bool,
}

/// A process that was not there for a while.
struct Fault {
    what: &'static str,
    from: Instant,
    until: Instant,
}

/// Kills each replica, and pauses it for less and for more than a claim stands, in turn.
async fn break_replicas(replicas: &mut [Replica], lasting: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let each = lasting / u32::try_from(FAULTS * replicas.len()).expect("few");
    for round in 0..FAULTS {
        for (number, replica) in replicas.iter_mut().enumerate() {
            let begun = Instant::now();
            tokio::time::sleep(each.mul_f64(fastrand::f64() / 4.0)).await;
            let from = Instant::now();
            let what = match (round + number) % 3 {
                0 => {
                    replica.process.kill();
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    tokio::task::block_in_place(|| replica.restart());
                    "killed"
                }
                1 => {
                    replica.process.pause();
                    tokio::time::sleep(TIMEOUT / 2).await;
                    replica.process.resume();
                    "paused within its claims"
                }
                _ => {
                    replica.process.pause();
                    tokio::time::sleep(TIMEOUT * 5 / 2).await;
                    replica.process.resume();
                    "paused beyond its claims"
                }
            };
            faults.push(Fault { what, from, until: Instant::now() });
            tokio::time::sleep(each.saturating_sub(begun.elapsed())).await;
        }
    }
    faults
}

/// The id of the event with this number of a tenant.
fn id_of(tenant: usize, number: usize) -> String {
    format!("t{tenant}-c{}-{}", number % CONVERSATIONS, number / CONVERSATIONS)
}

/// Publishes the events of each tenant in their order, over the time that the run lasts. Answers when each was taken.
async fn publish(
    fleet: &Fleet,
    tenants: &[Tenant],
    run: &Run,
) -> impl Future<Output = HashMap<String, Instant>> + use<> {
    let publisher = Arc::new(Publisher::to(fleet.replicas.iter().map(|replica| replica.grpc)));
    let each = scale::of(EVENTS) / TENANTS;
    let pace = run.lasting / u32::try_from(scale::of(EVENTS) / PUBLISHERS).expect("few");
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|first| {
            let publisher = Arc::clone(&publisher);
            let own: Vec<(usize, Tenant)> =
                tenants.iter().cloned().enumerate().skip(first).step_by(PUBLISHERS).collect();
            tokio::spawn(async move {
                let mut taken = HashMap::new();
                let mut beat = tokio::time::interval(pace);
                for number in 0..each {
                    for (index, tenant) in &own {
                        beat.tick().await;
                        let id = id_of(*index, number);
                        let event = message_received(id.clone(), Some(format!("c{}", number % CONVERSATIONS)));
                        taken.insert(id, publisher.publish(&tenant.id, &[event]).await);
                    }
                }
                taken
            })
        })
        .collect();
    async move {
        let mut taken = HashMap::new();
        for publishing in publishing {
            taken.extend(publishing.await.expect("no panic"));
        }
        taken
    }
}

/// What a run has shown of the tenants with good receivers: from when an event was published until it arrived.
#[derive(Debug)]
struct FirstDeliveries {
    p50: Duration,
    p99: Duration,
    most: Duration,
}

async fn run(postgres: &Postgres, run: Run) -> FirstDeliveries {
    let mut fleet = fleet(postgres, run.name).await;
    let is_over = Arc::new(AtomicBool::new(!run.has_bad_receivers));
    let receiver = {
        let is_over = Arc::clone(&is_over);
        Receiver::start(move |path| match path.split('/').nth(1) {
            _ if is_over.load(Ordering::Relaxed) => Manner::Takes(Duration::ZERO),
            Some("t0") => Manner::Hangs,
            Some("t1") => Manner::Refuses(500),
            Some("t2") => Manner::Refuses(429),
            Some("t3") => Manner::Takes(TIMEOUT / 2),
            _ => Manner::Takes(Duration::ZERO),
        })
        .await
    };
    let operator = fleet.replicas[0].operator();
    let mut tenants = Vec::new();
    for index in 0..TENANTS {
        let callback = receiver.base(&format!("t{index}"));
        let fields = json!({"tenant_name": format!("Tenant {index}"), "callback_url_base": callback});
        tenants.push(operator.provision(fields).await);
    }

    let publishing = publish(&fleet, &tenants, &run).await;
    let faults = if run.has_faults { break_replicas(&mut fleet.replicas, run.lasting).await } else { Vec::new() };
    let taken = publishing.await;
    is_over.store(true, Ordering::Relaxed);
    // Another callback: what waits for another attempt is due at once, in its order.
    for (index, tenant) in tenants.iter().enumerate().take(BAD) {
        let path = format!("/update/tenant?tenant_id={}", tenant.id);
        let callback = json!({"callback_url_base": receiver.base(&format!("t{index}/again"))});
        let (status, answer) = operator.call("POST", &path, Some(callback)).await;
        assert_eq!(status, 200, "{answer}");
    }
    everything_is_delivered(&operator, &tenants).await;
    nobody_panicked(&fleet);
    judge(&run, &receiver, &taken, &faults)
}

/// Waits until the relay says of every event that it is delivered, and checks that none is missing.
async fn everything_is_delivered(operator: &Operator, tenants: &[Tenant]) {
    let deadline = Instant::now() + PATIENCE;
    let each = scale::of(EVENTS) / TENANTS;
    for (index, tenant) in tenants.iter().enumerate() {
        let path = format!("/fetch/events?limit=500&tenant_id={}", tenant.id);
        loop {
            let (status, answer) = operator.call("GET", &path, None).await;
            assert_eq!(status, 200, "{answer}");
            let events = answer["data"]["items"].as_array().expect("a list");
            let seqs: Vec<usize> = (1..=each).rev().collect();
            assert_eq!(
                json!(events.iter().map(|event| &event["seq"]).collect::<Vec<_>>()),
                json!(seqs),
                "tenant {index}"
            );
            let waiting: Vec<_> = events.iter().filter(|event| event["state"] != "delivered").collect();
            if waiting.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "tenant {index} waits for {waiting:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What arrived of one event.
#[derive(Default)]
struct Story {
    first_at: Option<Instant>,
    taken_at: Option<Instant>,
    arrived_of_taken: Option<Instant>,
    /// Arrivals after it was taken.
    again: Vec<Instant>,
}

fn judge(run: &Run, receiver: &Receiver, taken: &HashMap<String, Instant>, faults: &[Fault]) -> FirstDeliveries {
    let mut stories: HashMap<String, Story> = HashMap::new();
    let arrivals = receiver.arrivals();
    for arrival in arrivals.iter() {
        let story = stories.entry(arrival.event_id().to_owned()).or_default();
        story.first_at.get_or_insert(arrival.at);
        match story.taken_at {
            Some(taken_at) if taken_at < arrival.at => story.again.push(arrival.at),
            _ => {
                story.taken_at = story.taken_at.or(arrival.taken_at);
                story.arrived_of_taken = story.arrived_of_taken.or(arrival.taken_at.map(|_| arrival.at));
            }
        }
    }

    let (mut lost, mut out_of_order, mut unexplained) = (Vec::new(), Vec::new(), Vec::new());
    let mut duplicates: BTreeMap<&str, usize> = BTreeMap::new();
    for tenant in 0..TENANTS {
        for number in 0..scale::of(EVENTS) / TENANTS {
            let id = id_of(tenant, number);
            let Some(story) = stories.get(&id) else {
                lost.push(id);
                continue;
            };
            if story.taken_at.is_none() {
                lost.push(id.clone());
            }
            let before = number.checked_sub(CONVERSATIONS).and_then(|before| stories.get(&id_of(tenant, before)));
            if before.is_some_and(|before| before.taken_at > story.first_at) {
                out_of_order.push(id.clone());
            }
            for again in &story.again {
                // Whoever got the answer was killed or paused before it had written it.
                let explains = |fault: &&Fault| Some(fault.until) >= story.arrived_of_taken && fault.from <= *again;
                match faults.iter().find(explains) {
                    Some(fault) => *duplicates.entry(fault.what).or_default() += 1,
                    None => unexplained.push(id.clone()),
                }
            }
        }
    }

    let mut waits: Vec<Duration> = (BAD..TENANTS)
        .flat_map(|tenant| (0..scale::of(EVENTS) / TENANTS).map(move |number| id_of(tenant, number)))
        .filter_map(|id| Some(stories.get(&id)?.first_at?.saturating_duration_since(taken[&id])))
        .collect();
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    let seen = FirstDeliveries { p50: at(50), p99: at(99), most: at(100) };
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in faults {
        *done.entry(fault.what).or_default() += 1;
    }
    eprintln!(
        "{}: {} events in {:.0?}, {} requests arrived; of {} tenants with good receivers: {:.1?} / {:.1?} / {:.1?} from publication to \
         arrival (p50 / p99 / most); faults {done:?}, duplicates {duplicates:?}",
        run.name,
        scale::of(EVENTS),
        run.lasting,
        arrivals.len(),
        TENANTS - BAD,
        seen.p50,
        seen.p99,
        seen.most,
    );
    assert_eq!((lost, out_of_order, unexplained), (Vec::<String>::new(), Vec::<String>::new(), Vec::<String>::new()));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_out_of_order_while_replicas_are_killed_and_receivers_fail() {
    let postgres = Postgres::start();
    let is_long = scale::of(EVENTS) == EVENTS;
    let lasting = Duration::from_secs(if is_long { 100 } else { 10 });
    let name = |name| Run { name, lasting, has_bad_receivers: false, has_faults: false };
    run(&postgres, name("all is well")).await;
    let beside_bad = run(&postgres, Run { has_bad_receivers: true, ..name("four bad receivers") }).await;
    // Nobody waited behind the receiver that hangs, not even for one attempt.
    assert!(beside_bad.p99 < TIMEOUT, "{beside_bad:?}");
    let lasting = if is_long { lasting } else { lasting * 4 };
    run(&postgres, Run { has_bad_receivers: true, has_faults: true, lasting, ..name("four bad receivers and faults") })
        .await;
}

/// Events of these tenants come all the time while one replica is paused and the other one changes the tenants.
const CHANGED: usize = 8;
/// Rounds of a run at full size.
const ROUNDS: usize = 100;

/// Makes a change, and answers when it had returned and the new secret. A process that is paused within a transaction holds up the other's
/// changes until the database ends its session: then one that was refused is made again.
async fn change(operator: &Operator, path: String) -> (Instant, Option<String>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match operator.call("POST", &path, None).await {
            (200, answer) => return (Instant::now(), answer["data"]["tenant_secret"].as_str().map(str::to_owned)),
            (503, answer) => assert!(Instant::now() < deadline, "{path} does not succeed: {answer}"),
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
    let operator = fleet.replicas[0].operator();
    let mut tenants = Vec::new();
    for index in 0..CHANGED {
        let callback = receiver.base(&format!("t{index}"));
        let fields = json!({"tenant_name": format!("Tenant {index}"), "callback_url_base": callback});
        tenants.push(operator.provision(fields).await);
    }
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

    let (mut late, mut of_old_secrets, mut in_time) = (0, 0, 0);
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
        // Its claims have run out as well, in every other round.
        tokio::time::sleep(if round % 4 < 2 { TIMEOUT * 2 } else { Duration::ZERO }).await;
        victim.process.resume();
        tokio::time::sleep(Duration::from_millis(300)).await;
        {
            let arrivals = receiver.arrivals();
            for (tenant, (since, new_secret)) in tenants.iter().zip(&changed) {
                let of_tenant = |arrival: &&e2e::receiver::Arrival| arrival.header("x-bloonio-tenant-id") == tenant.id;
                let after = arrivals.iter().filter(|arrival| arrival.at > *since).filter(of_tenant);
                match new_secret {
                    None => late += after.count(),
                    Some(secret) => {
                        for arrival in after {
                            if arrival.is_signed_with(secret) { in_time += 1 } else { of_old_secrets += 1 }
                        }
                    }
                }
            }
        }
        for (tenant, (_, secret)) in tenants.iter_mut().zip(changed) {
            match secret {
                Some(secret) => tenant.secret = secret,
                None => {
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
    eprintln!(
        "{} rounds, {published} events, {} requests: {late} began late, {of_old_secrets} under an old secret, {in_time} under the new one",
        scale::of(ROUNDS),
        receiver.arrivals().len(),
    );
    assert_eq!((late, of_old_secrets), (0, 0));
    assert!(in_time > 100, "what is not suspended goes on");
    nobody_panicked(&fleet);
}
