//! Immediate means immediate: once a change has returned, no gateway accepts what was true before it, whatever fails. Real
//! processes, hammered with secrets old and new while gateways are paused, links swallow bytes, replicas are killed and the
//! database restarts.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    fleet::Fleet,
    percentile::percentile,
    postgres::Postgres,
    process::PATIENCE,
    scale,
    signed::Tenant,
    world::{self, Operator},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Short, so that many leases run out in a test.
const LEASE: Duration = Duration::from_millis(1000);
/// Changes of each tenant in a run at full size.
const MUTATIONS: usize = 2000;
/// Rounds of every fault in a run at full size.
const ROUNDS: usize = 30;

/// What is known of one tenant by the one who changes it.
#[derive(Debug, Default)]
struct Truth {
    /// The newest secret, and those that a rotation which has returned has put out of use.
    current: String,
    retired: Vec<String>,
    suspended: bool,
    /// Moves before each change and after it.
    version: u64,
    /// A change is under way, or was when its caller lost sight of it.
    unsettled: bool,
}

impl Truth {
    /// A change has returned.
    fn settle(&mut self, action: &str, secret: Option<String>) {
        self.version += 1;
        self.unsettled = false;
        match secret {
            Some(secret) => self.retired.push(std::mem::replace(&mut self.current, secret)),
            None => self.suspended = action == "suspend/tenant",
        }
    }
}

#[derive(Clone)]
struct Subject {
    tenant: Tenant,
    truth: Arc<Mutex<Truth>>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Seen {
    observed: AtomicUsize,
    accepted: AtomicUsize,
    refused_rightly: AtomicUsize,
    /// Unavailable answers, counted by kind: no gateway answered, or the gateway could not know.
    unavailable: Mutex<BTreeMap<String, usize>>,
    /// Accepted, though what would have allowed it was over before the request began. Must be none.
    stale: Mutex<Vec<String>>,
    /// Refused as wrong or suspended, though nothing has changed since it was right. Must be none.
    wronged: Mutex<Vec<String>>,
}

/// One client of one gateway: signs with the secret that is current or one that is retired, and judges the answer by what
/// was certain before it asked.
async fn hammer(relay: String, subjects: Vec<Subject>, seen: Arc<Seen>, over: Arc<AtomicBool>) {
    let client = Client::builder().timeout(LEASE * 3).build().expect("a client");
    while !over.load(Ordering::Relaxed) {
        let subject = &subjects[fastrand::usize(..subjects.len())];
        let mut tenant = subject.tenant.clone();
        let (retired, before, settled, suspended) = {
            let truth = subject.truth.lock().expect("not poisoned");
            let retired = !truth.retired.is_empty() && fastrand::bool();
            // The newest of the retired is the one that is easily still in use.
            tenant.secret =
                if retired { truth.retired[truth.retired.len() - 1].clone() } else { truth.current.clone() };
            (retired, truth.version, !truth.unsettled, truth.suspended)
        };
        let body = format!("{{\"nonce\":\"{:x}\"}}", fastrand::u128(..));
        let answer = tenant.request(&client, Method::POST, &format!("{relay}/add/message"), body).send().await;
        let unchanged = subject.truth.lock().expect("not poisoned").version == before && settled;
        seen.observed.fetch_add(1, Ordering::Relaxed);
        let note = |list: &Mutex<Vec<String>>, status: u16| {
            let said = format!("{relay} {status} retired={retired} suspended={suspended} {}", tenant.id);
            list.lock().expect("not poisoned").push(said);
        };
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(status @ 200) => {
                seen.accepted.fetch_add(1, Ordering::Relaxed);
                // A retired secret never comes back; a suspension may have been lifted while the request was under way.
                if retired || suspended && unchanged {
                    note(&seen.stale, status);
                }
            }
            Ok(status @ (401 | 403)) => {
                if !retired && !suspended && unchanged {
                    note(&seen.wronged, status);
                } else {
                    seen.refused_rightly.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(503) => *seen.unavailable.lock().expect("not poisoned").entry("503".to_owned()).or_default() += 1,
            Err(error) => {
                let kind = if error.is_timeout() { "no answer".to_owned() } else { format!("{error:?}") };
                *seen.unavailable.lock().expect("not poisoned").entry(kind).or_default() += 1;
            }
            Ok(status) => panic!("{relay} answered {status}"),
        }
        // Enough to meet every change many times, and not so much that the machine does nothing else.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// How long changes waited.
#[derive(Debug, Default)]
struct Waits {
    /// In milliseconds, where no replica stood still meanwhile.
    of_all: Mutex<Vec<u64>>,
    /// Where one did: it cannot answer before it goes on.
    of_replicas_paused: Mutex<Vec<u64>>,
    /// Moves when a replica is paused, and again when it goes on: odd while one is.
    pauses: AtomicUsize,
}

impl Waits {
    fn count(&self) -> usize {
        self.of_all.lock().expect("not poisoned").len()
    }
}

/// Changes one tenant again and again, at whichever replica answers.
async fn change(subject: Subject, operators: Vec<Operator>, waits: Arc<Waits>, over: impl Fn() -> bool) {
    while !over() {
        let pauses = waits.pauses.load(Ordering::SeqCst);
        let suspended = subject.truth.lock().expect("not poisoned").suspended;
        let action = match fastrand::u8(..4) {
            _ if suspended => "reactivate/tenant",
            0 => "suspend/tenant",
            _ => "rotate/tenant-secret",
        };
        {
            let mut truth = subject.truth.lock().expect("not poisoned");
            truth.version += 1;
            truth.unsettled = true;
        }
        let path = format!("/{action}?tenant_id={}", subject.tenant.id);
        // One whose outcome is not known is made again until it is.
        let deadline = Instant::now() + PATIENCE;
        let answer = loop {
            let operator = &operators[fastrand::usize(..operators.len())];
            match operator.try_call("POST", &path, None).await {
                Ok((200, answer)) => break answer,
                Ok((503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok((status, answer)) => panic!("{path} answered {status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "{path} does not succeed");
        };
        let still = pauses.is_multiple_of(2) && waits.pauses.load(Ordering::SeqCst) == pauses;
        let list = if still { &waits.of_all } else { &waits.of_replicas_paused };
        list.lock().expect("not poisoned").push(answer["data"]["propagation"]["waited_ms"].as_u64().expect("a time"));
        let secret = answer["data"]["tenant_secret"].as_str().map(str::to_owned);
        subject.truth.lock().expect("not poisoned").settle(action, secret);
        // Long enough for clients to see what is true now.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..100))).await;
    }
}

/// Everything that can go wrong, one thing after the other, as often as `rounds` says.
async fn break_everything(
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

async fn subjects(operator: &Operator, count: usize) -> Vec<Subject> {
    let mut made = Vec::new();
    for index in 0..count {
        let fields = json!({"tenant_name": format!("Subject {index}"), "rate_limit_per_min": 6_000_000});
        let tenant = operator.provision(fields).await;
        let truth = Truth { current: tenant.secret.clone(), ..Truth::default() };
        made.push(Subject { tenant, truth: Arc::new(Mutex::new(truth)) });
    }
    made
}

async fn nothing_stale_is_accepted(postgres: Option<&Postgres>) {
    let url = postgres.map(|postgres| postgres.database("relay"));
    let lease = LEASE.as_millis().to_string();
    let mut fleet = Fleet::start(url.as_deref(), 3, &[("ADMIN_LEASE_MS", &lease), ("ADMIN_ACCESS_LOG", "false")]).await;
    let subjects = subjects(&fleet.replicas[0].operator(), 4).await;
    let operators: Vec<Operator> = fleet.replicas.iter().map(e2e::fleet::Replica::operator).collect();
    let (seen, waits) = (Arc::new(Seen::default()), Arc::new(Waits::default()));
    let (broken, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));

    let clients: Vec<JoinHandle<()>> = fleet
        .gateways
        .iter()
        .flat_map(|gateway| [gateway.relay; 3])
        .map(|relay| {
            let relay = format!("http://{relay}/api/v1/relay");
            tokio::spawn(hammer(relay, subjects.clone(), Arc::clone(&seen), Arc::clone(&over)))
        })
        .collect();
    let changers: Vec<JoinHandle<()>> = subjects
        .iter()
        .map(|subject| {
            let (broken, counted) = (Arc::clone(&broken), Arc::clone(&waits));
            let over = move || broken.load(Ordering::Relaxed) && counted.count() >= scale::of(MUTATIONS);
            tokio::spawn(change(subject.clone(), operators.clone(), Arc::clone(&waits), over))
        })
        .collect();
    let faults = break_everything(&mut fleet, postgres, &waits, scale::of(ROUNDS)).await;
    broken.store(true, Ordering::Relaxed);
    for changer in changers {
        changer.await.expect("no panic");
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no panic");
    }
    // Once the registrations of what was killed have run out, nothing of it is left: every gateway is heard, at once.
    let (deadline, mut healthy) = (Instant::now() + LEASE * 5, 0);
    for (operator, subject) in operators.iter().cycle().zip(subjects.iter().cycle()) {
        let path = format!("/rotate/tenant-secret?tenant_id={}", subject.tenant.id);
        let (_, answer) = operator.call("POST", &path, None).await;
        let propagation = &answer["data"]["propagation"];
        let at_once = propagation["waited_ms"].as_u64().is_some_and(|ms| u128::from(ms) < LEASE.as_millis() / 2);
        let heard = (&propagation["gateways"], &propagation["acknowledged"]) == (&json!(3), &json!(3));
        healthy = if at_once && heard { healthy + 1 } else { 0 };
        if healthy == 8 {
            break;
        }
        assert!(Instant::now() < deadline, "changes are slow for good: {answer}");
    }
    let replicas = fleet.replicas.iter().map(|replica| replica.process.log());
    for log in replicas.chain(fleet.gateways.iter().map(|gateway| gateway.process.log())) {
        assert!(!log.contains("panicked"), "{log}");
    }

    let paused = waits.of_replicas_paused.lock().expect("not poisoned").len();
    let mut waits = std::mem::take(&mut *waits.of_all.lock().expect("not poisoned"));
    waits.sort_unstable();
    let (stale, wronged) = (seen.stale.lock().expect("not poisoned"), seen.wronged.lock().expect("not poisoned"));
    eprintln!("faults: {faults:?}");
    eprintln!(
        "{} requests observed: {} accepted, {} refused rightly, {:?} unavailable, {} refused wrongly, {} stale accepts",
        seen.observed.load(Ordering::Relaxed),
        seen.accepted.load(Ordering::Relaxed),
        seen.refused_rightly.load(Ordering::Relaxed),
        seen.unavailable.lock().expect("not poisoned"),
        wronged.len(),
        stale.len(),
    );
    let at = |percent| percentile(&waits, percent);
    eprintln!(
        "{} mutations waited {} / {} / {} ms (p50 / p90 / most), and {paused} while a replica was paused",
        waits.len(),
        at(50),
        at(90),
        at(100)
    );
    assert_eq!((stale.as_slice(), wronged.as_slice()), ([].as_slice(), [].as_slice()));
    assert!(waits.len() >= scale::of(MUTATIONS) && u128::from(at(100)) <= (LEASE + Duration::from_secs(1)).as_millis());
    assert!(seen.accepted.load(Ordering::Relaxed) > 1000 && seen.refused_rightly.load(Ordering::Relaxed) > 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_is_accepted_on_sqlite() {
    nothing_stale_is_accepted(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stale_is_accepted_on_postgres_with_two_replicas() {
    let postgres = Postgres::start();
    nothing_stale_is_accepted(Some(&postgres)).await;
}

/// Calls each of the tenants once at the gateway, and fails where one is not accepted.
async fn call_all(client: &Client, relay: std::net::SocketAddr, tenants: &[Tenant], nonce: &str) {
    for tenant in tenants {
        let url = format!("http://{relay}/api/v1/relay/add/message");
        let body = format!("{{\"nonce\":\"{nonce}{}\"}}", fastrand::u64(..));
        let answer = tenant.request(client, Method::POST, &url, body).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", answer.text().await.expect("text"));
    }
}

async fn healthy_changes_return_at_once(postgres: Option<&Postgres>) {
    let url = postgres.map(|postgres| postgres.database("relay"));
    let fleet = Fleet::start(url.as_deref(), 3, &[]).await;
    let operators: Vec<Operator> = fleet.replicas.iter().map(e2e::fleet::Replica::operator).collect();
    let tenant = operators[0].provision(json!({"tenant_name": "Healthy", "rate_limit_per_min": 6_000_000})).await;
    let client = Client::new();
    let mut tenant = [tenant];
    let mut waits = Vec::new();
    for index in 0..51 {
        for gateway in &fleet.gateways {
            call_all(&client, gateway.relay, &tenant, "healthy").await;
        }
        let path = format!("/rotate/tenant-secret?tenant_id={}", tenant[0].id);
        let (status, answer) = operators[index % operators.len()].call("POST", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        let propagation = &answer["data"]["propagation"];
        let counted = (&propagation["gateways"], &propagation["acknowledged"]);
        assert_eq!(counted, (&json!(3), &json!(3)), "every gateway is heard: {propagation}");
        waits.push(propagation["waited_ms"].as_u64().expect("a time"));
        tenant[0].secret = answer["data"]["tenant_secret"].as_str().expect("a secret").to_owned();
    }
    waits.sort_unstable();
    eprintln!("healthy rotations with 3 gateways waited {} / {} ms (p50 / most)", waits[25], waits[50]);
    assert!(waits[25] < 50, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_change_returns_at_once_on_sqlite() {
    healthy_changes_return_at_once(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_change_returns_at_once_on_postgres_with_two_replicas() {
    let postgres = Postgres::start();
    healthy_changes_return_at_once(Some(&postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shorter_than_the_lease_costs_no_request() {
    let mut fleet = Fleet::start(None, 3, &[]).await;
    let operator = fleet.replicas[0].operator();
    let mut tenants = Vec::new();
    for index in 0..60 {
        tenants.push(operator.provision(json!({"tenant_name": format!("Kept {index}")})).await);
    }
    let (warm, cold) = tenants.split_at(30);
    let client = Client::new();
    for gateway in &fleet.gateways {
        call_all(&client, gateway.relay, warm, "before").await;
    }
    fleet.replicas[0].process.kill();
    // Those that are known, and those that are not yet, while there is nobody to ask.
    let calls: Vec<_> = fleet
        .gateways
        .iter()
        .map(|gateway| {
            let (client, relay) = (client.clone(), gateway.relay);
            let (warm, cold) = (warm.to_vec(), cold.to_vec());
            tokio::spawn(async move {
                call_all(&client, relay, &warm, "during").await;
                call_all(&client, relay, &cold, "during").await;
            })
        })
        .collect();
    // Half a lease.
    tokio::time::sleep(Duration::from_secs(5)).await;
    tokio::task::block_in_place(|| fleet.replicas[0].restart());
    for call in calls {
        call.await.expect("every call was answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_makes_one_fetch_for_each_tenant_and_gateway() {
    let count = scale::of(10_000);
    let fleet = Fleet::start(None, 3, &[]).await;
    let operator = fleet.replicas[0].operator();
    let provisioned = (0..4).map(|part| {
        let operator = operator.clone();
        tokio::spawn(async move {
            let mut made = Vec::new();
            for index in 0..count / 4 {
                let fields = json!({"tenant_name": format!("Cold {part} {index}"), "rate_limit_per_min": 6000});
                made.push(operator.provision(fields).await);
            }
            made
        })
    });
    let mut tenants = Vec::new();
    for part in provisioned.collect::<Vec<_>>() {
        tenants.extend(part.await.expect("no panic"));
    }
    // Every tenant by four callers at once, at each gateway.
    let client = Client::new();
    let callers: Vec<_> = fleet
        .gateways
        .iter()
        .flat_map(|gateway| [gateway.relay; 16])
        .enumerate()
        .map(|(caller, relay)| {
            let part = tenants.chunks(count / 4).nth(caller % 4).expect("four parts").to_vec();
            let client = client.clone();
            tokio::spawn(async move { call_all(&client, relay, &part, "cold").await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("every call was accepted");
    }
    let metrics = reqwest::get(format!("http://{}/metrics", fleet.replicas[0].ops())).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let fetches: usize = metrics
        .lines()
        .filter(|line| line.starts_with("rpc_server_call_duration_seconds_count") && line.contains("/GetTenant\""))
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a count"))
        .sum();
    eprintln!("{} calls of {count} tenants through 3 gateways made {fetches} fetches", 3 * 4 * count);
    assert_eq!(fetches, 3 * count);
}

#[tokio::test]
async fn the_answer_says_how_a_change_spread() {
    let world = world::World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Counted"})).await;
    let path = format!("/suspend/tenant?tenant_id={}", tenant.id);
    let (_, answer) = world.operator().call("POST", &path, None).await;
    let propagation: &Value = &answer["data"]["propagation"];
    assert_eq!((&propagation["gateways"], &propagation["acknowledged"]), (&json!(1), &json!(1)), "{answer}");
}
