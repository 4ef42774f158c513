//! What the contract's queries cost among a million tenants, on SQLite and on PostgreSQL, beside what they cost among a
//! thousand: flat is when the two are alike.
//!
//! `cargo bench -p admin-service` (or `-- 100000` for another size). Prints a table; the medians are what to compare.

use std::time::{Duration, Instant};

use admin_service::{
    audit::{Action, AuditEntry, Caller},
    config::DatabaseConfig,
    credentials::WidgetKey,
    settings::TenantSettings,
    store::{self, PageStart, SeaStore, TenantStore as _, VisitorStore as _},
    tenant::{Tenant, TenantStatus},
};
use e2e::postgres::Postgres;
use sea_orm::{ConnectionTrait as _, Database};
use shared::{TenantId, time::now};
use uuid::Uuid;

const CALLS: usize = 200;

#[tokio::main]
async fn main() {
    let most = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!("| database | tenants | provision | fetch | by widget key | first page | deep page | audit log |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let postgres = Postgres::start();
    for size in [1_000, most] {
        let directory = tempfile::tempdir().expect("a directory");
        let sqlite = format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display());
        row("SQLite", &sqlite, size).await;
        row("PostgreSQL", &postgres.database(&format!("tenants_{size}")), size).await;
    }
    println!(
        "\nEach cell: p50 / p99 over {CALLS} calls, one at a time. A page has 100 tenants; the deep one begins in the middle."
    );
}

async fn row(name: &str, url: &str, size: u64) {
    let config =
        DatabaseConfig { url: url.to_owned().into(), max_connections: 4, statement_timeout: Duration::from_secs(60) };
    store::connect(&config).await.expect("it opens").close().await.expect("it closes");
    seed(url, size).await;
    let store = store::connect(&config).await.expect("it opens");
    let middle = middle(&store, size).await;
    let keys: Vec<(TenantId, String)> = page_keys(&store, middle).await;

    let provision = time(async |_| create(&store).await).await;
    let fetch = time(async |_| drop(store.find(middle.into()).await.expect("reads"))).await;
    let by_key = time(async |call| {
        let (tenant, key) = &keys[call % keys.len()];
        store.widget_door(*tenant, key).await.expect("reads");
    })
    .await;
    let first = time(async |_| drop(store.page(PageStart::Offset(0), 100).await.expect("reads"))).await;
    let deep = time(async |_| drop(store.page(PageStart::After(middle), 100).await.expect("reads"))).await;
    let audit = time(async |_| drop(store.audit_log(Some(middle.into()), None, 100).await.expect("reads"))).await;
    println!("| {name} | {size} | {provision} | {fetch} | {by_key} | {first} | {deep} | {audit} |");
    store.close().await.expect("it closes");
}

/// Rows made by the database itself, a tenant and its audit row each: through the store a million would take an hour.
async fn seed(url: &str, size: u64) {
    let connection = Database::connect(url).await.expect("it connects");
    let settings = serde_json::to_string(&TenantSettings { tenant_name: "Seeded".into(), ..TenantSettings::default() })
        .expect("serializes");
    let statements = if url.starts_with("sqlite") {
        let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size})");
        let id = "unhex(printf('%012x', 1700000000000 + i) || '7000' || printf('%016x', i))";
        [
            format!(
                "{numbers} INSERT INTO tenant (id, status, sealed_secret, widget_public_key, settings, revision, created_at, updated_at)
                 SELECT {id}, 'active', randomblob(120), 'pk_' || hex(randomblob(16)), '{settings}', i, 1700000000000 + i, 1700000000000 + i FROM n"
            ),
            format!(
                "{numbers} INSERT INTO audit_log (id, tenant_id, actor, action, request_id, changed_fields, occurred_at, revision)
                 SELECT {id}, {id}, 'bench', 'provision_tenant', 'r', '[]', 1700000000000 + i, i FROM n"
            ),
            format!("UPDATE directory SET revision = {size}, tenant_total = {size}"),
            "ANALYZE".to_owned(),
        ]
    } else {
        let id = "(lpad(to_hex(1700000000000 + i), 12, '0') || '7000' || lpad(to_hex(i), 16, '0'))::uuid";
        let numbers = format!("FROM generate_series(1::bigint, {size}::bigint) AS i");
        [
            format!(
                "INSERT INTO tenant (id, status, sealed_secret, widget_public_key, settings, revision, created_at, updated_at)
                 SELECT {id}, 'active', decode(repeat(md5(i::text), 7), 'hex'), 'pk_' || md5(i::text), '{settings}', i, 1700000000000 + i, 1700000000000 + i {numbers}"
            ),
            format!(
                "INSERT INTO audit_log (id, tenant_id, actor, action, request_id, changed_fields, occurred_at, revision)
                 SELECT {id}, {id}, 'bench', 'provision_tenant', 'r', '[]', 1700000000000 + i, i {numbers}"
            ),
            format!("UPDATE directory SET revision = {size}, tenant_total = {size}"),
            "ANALYZE".to_owned(),
        ]
    };
    for sql in statements {
        connection.execute_unprepared(&sql).await.expect("seeded");
    }
    connection.close().await.expect("it closes");
}

async fn middle(store: &SeaStore, size: u64) -> Uuid {
    let (page, _) = store.page(PageStart::Offset(size / 2), 1).await.expect("reads");
    page.items[0].id.as_uuid()
}

async fn page_keys(store: &SeaStore, from: Uuid) -> Vec<(TenantId, String)> {
    let (page, _) = store.page(PageStart::After(from), 100).await.expect("reads");
    page.items.into_iter().map(|tenant| (tenant.id, tenant.widget_public_key.as_str().to_owned())).collect()
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
        revision: 0,
    };
    let caller = Caller { actor: "bench".into(), request_id: String::new() };
    let audit = AuditEntry::new(id, &caller, Action::ProvisionTenant, ["tenant_name"]);
    store.create(tenant, vec![0; 120], audit).await.expect("created");
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
