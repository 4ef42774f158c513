//! The crash run: no event is lost or out of order while replicas are killed and paused, and receivers hang, fail, push back or are slow.

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
    percentile::percentile,
    postgres::Postgres,
    process::PATIENCE,
    publisher::{Publisher, message_received},
    receiver::{Manner, Receiver},
    scale,
    signed::Tenant,
    world::Operator,
};
use serde_json::json;

use crate::setting::{CLAIM, LEASE, TIMEOUT, fleet, nobody_panicked, tenants};

/// Tenants of a run. The first four have bad receivers.
const TENANTS: usize = 100;
const BAD: usize = 4;
/// Conversations of each tenant.
const CONVERSATIONS: usize = 2;
/// Events of a run at full size.
const EVENTS: usize = 10_000;
/// Chat backends that publish side by side.
const PUBLISHERS: usize = 10;
/// Faults of each replica.
const FAULTS: usize = 5;
/// The longest time that a replica is paused: beyond its claims and its lease.
const PAUSE: Duration = Duration::from_millis(2500);

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
                    tokio::time::sleep(PAUSE).await;
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
    /// The p50 of the tenant that waited longest.
    slowest_tenant: Duration,
    p90: Duration,
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
            Some("t3") => Manner::Takes(TIMEOUT / 4),
            _ => Manner::Takes(Duration::ZERO),
        })
        .await
    };
    let operator = fleet.replicas[0].operator();
    let tenants = tenants(&fleet, &receiver, TENANTS).await;

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
    check(&run, &receiver, &taken, &faults)
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

/// When an event arrived, and when each arrival was answered with 200, if it was.
type History = Vec<(Instant, Option<Instant>)>;

fn histories(receiver: &Receiver) -> HashMap<String, History> {
    let mut histories: HashMap<String, History> = HashMap::new();
    for arrival in receiver.arrivals().iter() {
        histories.entry(arrival.event_id().to_owned()).or_default().push((arrival.at, arrival.taken_at));
    }
    histories
}

/// Events that were taken more than once, counted by the fault that explains it: the replica that got the answer was killed or paused
/// before it had written the result. A fault explains one repetition of an event. Answers what nothing explains as well.
fn repetitions<'f>(
    histories: &HashMap<String, History>,
    faults: &'f [Fault],
) -> (BTreeMap<&'f str, usize>, Vec<String>) {
    let (mut explained, mut unexplained) = (BTreeMap::new(), Vec::new());
    for (id, history) in histories {
        let mut unused: Vec<&Fault> = faults.iter().collect();
        for (index, (again, _)) in history.iter().enumerate() {
            // What was tried before and taken: it need not have come again.
            let Some((before, _)) = history[..index].iter().rev().find(|(_, taken_at)| taken_at.is_some()) else {
                continue;
            };
            match unused.iter().position(|fault| fault.until >= *before && fault.from <= *again) {
                Some(fault) => *explained.entry(unused.remove(fault).what).or_default() += 1,
                None => unexplained.push(id.clone()),
            }
        }
    }
    (explained, unexplained)
}

/// Checks that each event was taken, after the one before it in its conversation, and once unless a fault explains why not.
fn check(run: &Run, receiver: &Receiver, published: &HashMap<String, Instant>, faults: &[Fault]) -> FirstDeliveries {
    let histories = histories(receiver);
    let each = scale::of(EVENTS) / TENANTS;
    let taken_at = |id: &str| histories.get(id)?.iter().find_map(|(_, taken_at)| *taken_at);
    let (mut lost, mut out_of_order) = (Vec::new(), Vec::new());
    for (tenant, number) in (0..TENANTS).flat_map(|tenant| (0..each).map(move |number| (tenant, number))) {
        let id = id_of(tenant, number);
        if taken_at(&id).is_none() {
            lost.push(id);
        } else if let Some(before) = number.checked_sub(CONVERSATIONS)
            && histories[&id_of(tenant, before)].last().map(|(at, _)| *at) > Some(histories[&id][0].0)
        {
            out_of_order.push(id);
        }
    }
    let (duplicates, unexplained) = repetitions(&histories, faults);

    let waits_of = |tenant: usize| {
        let ids = (0..each).map(move |number| id_of(tenant, number));
        let mut waits: Vec<_> = ids.map(|id| histories[&id][0].0.saturating_duration_since(published[&id])).collect();
        waits.sort_unstable();
        waits
    };
    assert_eq!((&lost, &out_of_order, &unexplained), (&Vec::new(), &Vec::new(), &Vec::new()));
    let slowest_tenant = (BAD..TENANTS).map(|tenant| percentile(&waits_of(tenant), 50)).max().expect("tenants");
    let mut waits: Vec<Duration> = (BAD..TENANTS).flat_map(waits_of).collect();
    waits.sort_unstable();
    let at = |percent| percentile(&waits, percent);
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in faults {
        *done.entry(fault.what).or_default() += 1;
    }
    eprintln!(
        "{}: {} events in {:.0?}, {} requests arrived; of {} tenants with good receivers: {:.1?} / {:.1?} / {:.1?} from publication to \
         arrival (p50 / p99 / most), {slowest_tenant:.1?} the slowest tenant's p50; faults {done:?}, events repeated {duplicates:?}",
        run.name,
        scale::of(EVENTS),
        run.lasting,
        receiver.arrivals().len(),
        TENANTS - BAD,
        at(50),
        at(99),
        at(100),
    );
    FirstDeliveries { slowest_tenant, p90: at(90), most: at(100) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_out_of_order_while_replicas_are_killed_and_receivers_fail() {
    let postgres = Postgres::start();
    let is_long = scale::of(EVENTS) == EVENTS;
    let lasting = Duration::from_secs(if is_long { 100 } else { 10 });
    let name = |name| Run { name, lasting, has_bad_receivers: false, has_faults: false };
    run(&postgres, name("all is well")).await;
    let beside_bad = run(&postgres, Run { has_bad_receivers: true, ..name("four bad receivers") }).await;
    // An attempt at the receiver that hangs takes this long. Nobody else waits for it.
    assert!(beside_bad.slowest_tenant < TIMEOUT && beside_bad.p90 < TIMEOUT, "{beside_bad:?}");
    let lasting = if is_long { lasting } else { lasting * 4 };
    let faulty = Run { has_bad_receivers: true, has_faults: true, lasting, ..name("four bad receivers and faults") };
    let beside_faults = run(&postgres, faulty).await;
    // A fault may hold up an event for a pause and a claim, and a second fault once more.
    assert!(beside_faults.most < 2 * (PAUSE + CLAIM) + LEASE, "{beside_faults:?}");
}
