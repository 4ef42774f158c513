//! Events through the admin service, with nothing else kept and beside a million held events: how many it takes in, how many it delivers,
//! what a delivery costs, and how soon an event arrives.
//! `cargo build --profile dist --workspace --bins && cargo bench --profile dist --workspace --bench deliveries [-- HELD]`.
//!
//! Everything shares the machine: the service, its database, the backends that publish, and one receiver for all tenants.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{
    percentile::percentile,
    postgres::Postgres,
    process::{self, PATIENCE, Process},
    publisher::{Publisher, message_received},
    receiver::{Manner, Receiver},
    seed,
    signed::Tenant,
    world::{Operator, admin_environment, environment},
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

const TENANTS: usize = 100;
/// How long events are taken in, and how long the load lasts under which they are timed.
const LASTING: Duration = Duration::from_secs(5);
/// Backends that publish side by side.
const PUBLISHERS: usize = 16;
/// Events that are delivered as fast as it goes: for each tenant so many conversations with so many events each.
const CONVERSATIONS: usize = 10;
const EVENTS_EACH: usize = 20;
/// Events that are timed where nothing else is under way.
const IDLE: usize = 200;
/// Events a second under load.
const LOAD: usize = 200;

#[tokio::main]
async fn main() {
    let held = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!(
        "| database | events held | taken in a second, one a call | a hundred a call | delivered a second | CPU us a delivery, service | \
         database | arrives after, idle (p50 / p99) | at {LOAD} events/s |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let postgres = Postgres::start();
    for held in BTreeSet::from([0, held]) {
        let data = tempfile::tempdir().expect("a directory");
        row("SQLite", &format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display()), None, held).await;
        row("PostgreSQL", &postgres.database(&format!("held_{held}")), Some(&postgres), held).await;
    }
}

/// A running admin service, and those who call it.
struct Bench {
    admin: Process,
    operator: Operator,
    publisher: Arc<Publisher>,
    receiver: Receiver,
}

async fn row(name: &str, url: &str, postgres: Option<&Postgres>, held: u64) {
    let mut variables = admin_environment(url);
    variables.extend(environment(&[("ADMIN_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("ADMIN_ACCESS_LOG", "false")]));
    let admin = Process::start("admin-service", &[], &variables);
    let bench = Bench {
        operator: Operator::at(admin.address("admin-rest")),
        publisher: Arc::new(Publisher::to([admin.address("admin-grpc")])),
        receiver: Receiver::start(|_| Manner::Takes(Duration::ZERO)).await,
        admin,
    };
    let callback = bench.receiver.base("t");
    let suspended = bench.provision(json!({"tenant_name": "Held", "callback_url_base": callback})).await;
    bench.all(&suspended, "suspend/tenant").await;
    let ids: Vec<&str> = suspended.iter().map(|tenant| tenant.id.as_str()).collect();
    seed::held_events(url, &ids, held).await;

    let pulling = bench.provision(json!({"tenant_name": "Pulls"})).await;
    let one = bench.taken_in(&pulling, 1).await;
    let hundred = bench.taken_in(&pulling, 100).await;

    let receiving = bench.provision(json!({"tenant_name": "Receives", "callback_url_base": callback})).await;
    let idle = percentiles(bench.timed(&receiving, IDLE, LASTING * 2).await);
    let load = LOAD * usize::try_from(LASTING.as_secs()).expect("few");
    let loaded = percentiles(bench.timed(&receiving, load, LASTING).await);
    let (per_second, service, database) = bench.delivered(&receiving, postgres).await;
    println!(
        "| {name} | {held} | {one:.0} | {hundred:.0} | {per_second:.0} | {service:.0} | {database} | {idle} | {loaded} |"
    );
}

impl Bench {
    async fn provision(&self, fields: serde_json::Value) -> Vec<Tenant> {
        let provisioning = (0..TENANTS).map(|_| self.operator.provision(fields.clone()));
        stream::iter(provisioning).buffer_unordered(PUBLISHERS).collect().await
    }

    /// Makes a change of each of these tenants.
    async fn all(&self, tenants: &[Tenant], change: &str) {
        let changing = tenants.iter().map(|tenant| async {
            let path = format!("/{change}?tenant_id={}", tenant.id);
            assert_eq!(self.operator.call("POST", &path, None).await.0, 200);
        });
        stream::iter(changing).buffer_unordered(PUBLISHERS).collect::<()>().await;
    }

    /// Events taken in a second, so many a call, where nothing is delivered.
    async fn taken_in(&self, tenants: &[Tenant], a_call: usize) -> f64 {
        let begun = Instant::now();
        let publishing = (0..PUBLISHERS).map(|first| async move {
            let mut taken = 0;
            for tenant in tenants.iter().cycle().skip(first * TENANTS / PUBLISHERS) {
                let events: Vec<_> = (0..a_call).map(|_| message_received(new_id(), Some("c".to_owned()))).collect();
                self.publisher.publish(&tenant.id, &events).await;
                taken += a_call;
                if begun.elapsed() > LASTING {
                    break;
                }
            }
            taken
        });
        let taken: Vec<usize> = stream::iter(publishing).buffer_unordered(PUBLISHERS).collect().await;
        taken.iter().sum::<usize>() as f64 / begun.elapsed().as_secs_f64()
    }

    /// Publishes so many events over a time, one a call, and answers how long each took from then until it arrived.
    async fn timed(&self, tenants: &[Tenant], events: usize, lasting: Duration) -> Vec<Duration> {
        let before = self.receiver.arrivals().len();
        let mut beat = tokio::time::interval(lasting / u32::try_from(events).expect("few"));
        let mut publishing = tokio::task::JoinSet::new();
        for tenant in tenants.iter().cycle().take(events) {
            beat.tick().await;
            let (publisher, tenant_id) = (Arc::clone(&self.publisher), tenant.id.clone());
            publishing.spawn(async move {
                let (id, asked) = (new_id(), Instant::now());
                publisher.publish(&tenant_id, &[message_received(id.clone(), Some(new_id()))]).await;
                (id, asked)
            });
        }
        let asked: HashMap<String, Instant> = publishing.join_all().await.into_iter().collect();
        self.wait_for(before + events).await;
        let arrivals = self.receiver.arrivals();
        let repeated = arrivals.len() - before - events;
        assert_eq!(repeated, 0, "an event that comes twice would be taken for another");
        let mut first = HashMap::new();
        for arrival in &arrivals[before..] {
            first.entry(arrival.event_id()).or_insert(arrival.at);
        }
        asked.iter().map(|(id, asked)| first[id.as_str()] - *asked).collect()
    }

    /// Deliveries a second and what one costs the service and the database, where everything is due at once.
    async fn delivered(&self, tenants: &[Tenant], postgres: Option<&Postgres>) -> (f64, f64, String) {
        self.all(tenants, "suspend/tenant").await;
        let publishing = tenants.iter().map(|tenant| async {
            let conversation = |number| format!("c{}", number % CONVERSATIONS);
            let events =
                (0..CONVERSATIONS * EVENTS_EACH).map(|number| message_received(new_id(), Some(conversation(number))));
            for events in events.collect::<Vec<_>>().chunks(100) {
                self.publisher.publish(&tenant.id, events).await;
            }
        });
        stream::iter(publishing).buffer_unordered(PUBLISHERS).collect::<()>().await;

        let used = || {
            let of = |id| process::cpu_time_of_family(id).as_secs_f64() * 1e6;
            (of(self.admin.id()), postgres.map(|postgres| of(postgres.id())))
        };
        let (before, count) = (self.receiver.arrivals().len(), TENANTS * CONVERSATIONS * EVENTS_EACH);
        let (begun, (service, database)) = (Instant::now(), used());
        self.all(tenants, "reactivate/tenant").await;
        self.wait_for(before + count).await;
        let (elapsed, after) = (begun.elapsed(), used());
        let each = |before: f64, after: f64| (after - before) / count as f64;
        let database = database
            .zip(after.1)
            .map_or("in the service's".to_owned(), |(before, after)| format!("{:.0}", each(before, after)));
        (count as f64 / elapsed.as_secs_f64(), each(service, after.0), database)
    }

    /// Waits until so many requests have arrived.
    async fn wait_for(&self, count: usize) {
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        let deadline = Instant::now() + 2 * PATIENCE;
        while self.receiver.arrivals().len() < count {
            assert!(Instant::now() < deadline, "{} of {count} requests arrived", self.receiver.arrivals().len());
            beat.tick().await;
        }
    }
}

fn new_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |percent| percentile(&took, percent).as_secs_f64() * 1e3;
    format!("{:.1} / {:.1} ms", at(50), at(99))
}
