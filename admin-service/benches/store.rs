//! What the queries of each call cost among a million tenants, on SQLite and on PostgreSQL, beside what they cost among a
//! thousand: flat is when the two are alike.
//!
//! `cargo bench --profile dist -p admin-service` (or `-- 100000` for another size). Prints a table; the medians are what to compare.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use admin_service::{
    audit::{Action, AuditEntry, Caller},
    config::DatabaseConfig,
    credentials::WidgetKey,
    sealing::MasterKeys,
    settings::TenantSettings,
    store::{self, LogStore as _, PageStart, Replacement, SeaStore, TenantStore as _, VisitorStore as _},
    tenant::{Tenant, TenantStatus},
};
use e2e::{postgres::Postgres, seed, world};
use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};
use url::Url;
use wire::{TenantId, time::now};

const CALLS: usize = 200;

#[tokio::main]
async fn main() {
    let most = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!(
        "| database | tenants | provision | rotate | fetch | a gateway's lookup | by widget key | first page | deep page | audit log |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let postgres = Postgres::start();
    let plans = Plans::default();
    let notices = Targets::new().with_target(NOTICES, Level::TRACE);
    tracing_subscriber::registry().with(plans.clone().with_filter(notices)).init();
    for size in if most == 1_000 { vec![most] } else { vec![1_000, most] } {
        let directory = tempfile::tempdir().expect("a directory");
        let sqlite = format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display());
        row("SQLite", &sqlite, size).await;
        let url = postgres.database(&format!("tenants_{size}"));
        row("PostgreSQL", &url, size).await;
        println!("| PostgreSQL, rows read | {size} | {} |", rows_read(&url, size, &plans).await.join(" | "));
    }
    println!(
        "\nEach cell: p50 / p99 over {CALLS} calls, one at a time. Tenants are picked from all over the table. A page has 100; the deep ones begin anywhere."
    );
}

async fn row(name: &str, url: &str, size: u64) {
    let config = database(url);
    store::connect(&config, &master_keys()).await.expect("it opens").close().await.expect("it closes");
    seed::silent_tenants(url, size).await;
    let store = store::connect(&config, &master_keys()).await.expect("it opens");
    let tenants = anywhere(&store, size).await;

    let mut cells = Vec::new();
    for query in QUERIES {
        cells.push(time(async |call| run(&store, query, &tenants[call % CALLS]).await).await);
    }
    println!("| {name} | {size} | {} |", cells.join(" | "));
    store.close().await.expect("it closes");
}

fn master_keys() -> MasterKeys {
    world::MASTER_KEYS.parse().expect("keys")
}

fn database(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: url.to_owned().into(), max_connections: 4, statement_timeout: Duration::from_secs(60) }
}

/// As many tenants as calls, from all over the table, with their widget keys.
async fn anywhere(store: &SeaStore, size: u64) -> Vec<(TenantId, String)> {
    let mut picked = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let id = TenantId::from(seed::silent_id(fastrand::u64(1..=size)));
        let tenant = store.find(id).await.expect("reads").expect("it was seeded");
        picked.push((id, tenant.widget_public_key.as_str().to_owned()));
    }
    picked
}

async fn create(store: &SeaStore) {
    let (now, id) = (now(), TenantId::generate());
    let tenant = Tenant {
        id,
        status: TenantStatus::Active,
        widget_public_key: WidgetKey::generate(),
        settings: TenantSettings { tenant_name: "Measured".into(), ..TenantSettings::default() },
        created_at: now,
        updated_at: now,
        secret_rotated_at: None,
        widget_key_rotated_at: None,
        token_generation: 0,
        visitor_revocations: 0,
        sessions_ended: 0,
        operators_changed: 0,
        previous_secret: None,
        endpoint_stopped_at: None,
        revision: 0,
    };
    store.create(tenant, vec![0; 120], entry(id, Action::ProvisionTenant)).await.expect("created");
}

/// What is measured, in the table's order.
#[derive(Clone, Copy)]
enum Query {
    Provision,
    Rotate,
    Fetch,
    Lookup,
    ByWidgetKey,
    FirstPage,
    DeepPage,
    AuditLog,
}

const QUERIES: [Query; 8] = [
    Query::Provision,
    Query::Rotate,
    Query::Fetch,
    Query::Lookup,
    Query::ByWidgetKey,
    Query::FirstPage,
    Query::DeepPage,
    Query::AuditLog,
];

async fn run(store: &SeaStore, query: Query, (tenant, key): &(TenantId, String)) {
    match query {
        Query::Provision => create(store).await,
        Query::Rotate => {
            let audit = entry(*tenant, Action::RotateTenantSecret);
            store
                .rotate(
                    *tenant,
                    Replacement::Secret { sealed: vec![1; 120], revokes_issued: false, overlap: Duration::ZERO },
                    audit,
                )
                .await
                .map(drop)
                .expect("rotated");
        }
        Query::Fetch => drop(store.find(*tenant).await.expect("reads")),
        Query::Lookup => drop(store.find_keyed(*tenant).await.expect("reads")),
        Query::ByWidgetKey => {
            let access = store.widget_access(*tenant, key).await.expect("reads").expect("the tenant is there");
            assert!(access.opened.is_some(), "its key opens");
        }
        Query::FirstPage => drop(store.page(PageStart::Offset(0), 100).await.expect("reads")),
        Query::DeepPage => drop(store.page(PageStart::After(tenant.as_uuid()), 100).await.expect("reads")),
        Query::AuditLog => drop(store.audit_log(Some(*tenant), None, 100).await.expect("reads")),
    }
}

fn entry(tenant: TenantId, action: Action) -> AuditEntry {
    let caller = Caller { actor: "bench".into(), request_id: String::new(), admin_key: None };
    AuditEntry::new(tenant, &caller, action, ["tenant_name"])
}

/// Rows that each query reads from tables and indexes, as PostgreSQL's own plans count them while they run.
async fn rows_read(url: &str, size: u64, plans: &Plans) -> Vec<String> {
    const EXPLAIN: &str = "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 \
                           -c auto_explain.log_analyze=on -c auto_explain.log_format=json -c auto_explain.log_level=notice";
    let mut explained = Url::parse(url).expect("a URL");
    explained.query_pairs_mut().append_pair("options", EXPLAIN);
    let store = store::connect(&database(explained.as_str()), &master_keys()).await.expect("it opens");
    let tenants = anywhere(&store, size).await;
    let mut counts = Vec::new();
    for query in QUERIES {
        plans.0.lock().expect("not poisoned").clear();
        run(&store, query, &tenants[0]).await;
        let told = plans.0.lock().expect("not poisoned");
        assert!(!told.is_empty(), "PostgreSQL explains what it does");
        let read: f64 = told.iter().map(rows_scanned).sum();
        counts.push(read.to_string());
    }
    store.close().await.expect("it closes");
    counts
}

/// What a connection is told besides its answers.
const NOTICES: &str = "sqlx::postgres::notice";

/// The plans that connections were told of.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<Vec<Value>>>);

impl<S: Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

impl Visit for Plans {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, _: &Field, text: &str) {
        if let Some((_, plan)) = text.split_once("plan:") {
            let plan: Value = serde_json::from_str(plan).expect("a plan is JSON");
            self.0.lock().expect("not poisoned").push(plan["Plan"].clone());
        }
    }
}

/// What a plan's scans read: what they gave, and what they read and threw away.
fn rows_scanned(plan: &Value) -> f64 {
    let number = |field: &str| plan[field].as_f64().unwrap_or_default();
    let below: f64 = plan["Plans"].as_array().into_iter().flatten().map(rows_scanned).sum();
    if !plan["Node Type"].as_str().is_some_and(|node| node.ends_with("Scan")) {
        return below;
    }
    assert!(plan["Actual Rows"].is_number(), "a plan that was run says what it read: {plan}");
    let thrown_away = number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    below + (number("Actual Rows") + thrown_away) * number("Actual Loops")
}

/// p50 / p99 of a call, in words.
async fn time(mut call: impl AsyncFnMut(usize)) -> String {
    call(0).await;
    let mut took = Vec::with_capacity(CALLS);
    for index in 0..CALLS {
        let started = Instant::now();
        call(index).await;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let micros = |percent: usize| took[(CALLS - 1) * percent / 100].as_micros();
    format!("{} / {} us", micros(50), micros(99))
}
