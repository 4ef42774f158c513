//! How long `rewrap` takes to seal the secrets of many tenants anew, on SQLite and on PostgreSQL.
//!
//! `cargo bench --profile dist -p admin-service --bench rewrap` (or `-- 100000` for another number of tenants). Prints a table.

use std::time::{Duration, Instant};

use admin_service::{
    config::DatabaseConfig,
    rewrap,
    sealing::{MasterKeys, SealContext},
    store,
};
use e2e::{postgres::Postgres, seed, world};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement, TransactionTrait as _};
use uuid::Uuid;

const NEW: &str = "k2:hY2mJ7Tq0hN3Xw9cR5bZ1uEo8sLgVfKdAiPtQyWnMlc=";

/// As `tenants.rs` seals a tenant's secret.
const COLUMN: &str = "tenant.secret";

#[tokio::main]
async fn main() {
    let tenants = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!("| database | tenants | all sealed anew | the second time, when nothing is left |\n|---|--:|--:|--:|");
    let directory = tempfile::tempdir().expect("a directory");
    row("SQLite", &format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display()), tenants).await;
    let postgres = Postgres::start();
    row("PostgreSQL", &postgres.database("relay"), tenants).await;
}

async fn row(name: &str, url: &str, tenants: u64) {
    let database =
        DatabaseConfig { url: url.to_owned().into(), max_connections: 4, statement_timeout: Duration::from_secs(60) };
    let old: MasterKeys = world::MASTER_KEYS.parse().expect("keys");
    store::connect(&database, &old).await.expect("it opens").close().await.expect("it closes");
    seed::silent_tenants(url, tenants).await;
    seal(url, &old).await;
    let both: MasterKeys = format!("{NEW},{}", world::MASTER_KEYS).parse().expect("keys");
    let mut took = Vec::new();
    for resealed in [tenants, 0] {
        let began = Instant::now();
        let report = rewrap::rewrap(&database, &both, |_| {}).await.expect("it is done");
        took.push(began.elapsed().as_secs_f64());
        assert!(report.is_whole() && report.resealed == resealed, "{report}");
    }
    println!("| {name} | {tenants} | {:.1} s | {:.1} s |", took[0], took[1]);
}

/// Gives each tenant a secret that opens.
async fn seal(url: &str, keys: &MasterKeys) {
    let connection = Database::connect(url).await.expect("it connects");
    let backend = connection.get_database_backend();
    let ids = connection.query_all_raw(Statement::from_string(backend, "SELECT id FROM tenant")).await.expect("ids");
    let sql = match backend {
        DbBackend::Postgres => "UPDATE tenant SET sealed_secret = $1 WHERE id = $2",
        _ => "UPDATE tenant SET sealed_secret = ? WHERE id = ?",
    };
    let transaction = connection.begin().await.expect("it begins");
    for row in ids {
        let id: Uuid = row.try_get("", "id").expect("an id");
        let sealed =
            keys.seal(SealContext { row: id, column: COLUMN }, b"sk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka-_z9_v8");
        let update = Statement::from_sql_and_values(backend, sql, [sealed.into(), id.into()]);
        transaction.execute_raw(update).await.expect("sealed");
    }
    transaction.commit().await.expect("it commits");
    connection.close().await.expect("it closes");
}
