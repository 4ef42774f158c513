//! The admin service among a million tenants: how soon each process is there, and how many lookups it answers over gRPC.
//! `cargo build --profile dist --workspace --bins && cargo bench --profile dist --workspace --bench directory [-- TENANTS]`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e::{
    percentile::percentile,
    postgres::Postgres,
    process::Process,
    seed,
    world::{GRPC_TOKEN, Operator, admin_environment, gateway_environment, standalone_environment, until_ready},
};
use futures_util::{StreamExt as _, stream};
use proto::directory::v1::{GetTenantRequest, tenant_directory_client::TenantDirectoryClient};
use serde_json::json;
use tonic::transport::Channel;
use uuid::Uuid;

/// Tenants that are looked up.
const LOOKED_UP: usize = 1000;
/// Lookups under way at a time.
const CONCURRENCY: usize = 64;
const LASTING: Duration = Duration::from_secs(5);
/// Of so many starts the median is shown.
const STARTS: usize = 5;

#[tokio::main]
async fn main() {
    let size = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!("| database | tenants | admin service there after | lookups/s | p50 / p99 |");
    println!("|---|--:|--:|--:|--:|");
    let data = tempfile::tempdir().expect("a directory");
    let sqlite = format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display());
    let postgres = Postgres::start();
    row("SQLite", &sqlite, size).await;
    row("PostgreSQL", &postgres.database("directory"), size).await;

    let own = tempfile::tempdir().expect("a directory");
    let standalone = standalone_environment(own.path());
    // The first start makes keys and databases.
    drop(started("chat-relay", &standalone, "gateway").await);
    let standalone = median(async || started("chat-relay", &standalone, "gateway").await.1).await;
    let admin = Process::start("admin-service", &[], &admin_environment(&sqlite));
    let variables = gateway_environment(admin.address("admin-grpc"), ([127, 0, 0, 1], 9).into());
    let gateway = median(async || started("relay-gateway", &variables, "gateway").await.1).await;
    println!(
        "\nThere, that is `/readyz` answers 200, after: gateway {gateway:.0?}, the one-process deployment {standalone:.0?}."
    );
}

async fn row(name: &str, url: &str, size: u64) {
    let variables = admin_environment(url);
    let mut first = started("admin-service", &variables, "admin-rest").await.0;
    first.terminate();
    first.wait();
    seed::silent_tenants(url, size).await;
    let there = median(async || started("admin-service", &variables, "admin-rest").await.1).await;

    let admin = Process::start("admin-service", &[], &variables);
    let operator = Operator::at(admin.address("admin-rest"));
    let ids: Vec<Vec<u8>> = stream::iter(0..LOOKED_UP)
        .map(|index| operator.provision(json!({"tenant_name": format!("Tenant {index}")})))
        .buffer_unordered(16)
        .map(|tenant| tenant.id.parse::<Uuid>().expect("a UUID").as_bytes().to_vec())
        .collect()
        .await;
    let (per_second, p50, p99) = lookups(admin.address("admin-grpc"), &ids).await;
    println!("| {name} | {size} | {there:.0?} | {per_second:.0} | {p50} / {p99} us |");
}

/// Lookups of tenants, one channel and so many at a time.
async fn lookups(grpc: SocketAddr, ids: &[Vec<u8>]) -> (f64, u128, u128) {
    let channel = Channel::from_shared(format!("http://{grpc}")).expect("a URL").connect().await.expect("it connects");
    let begun = Instant::now();
    let mut took: Vec<Duration> = stream::iter(0..CONCURRENCY)
        .map(|first| {
            let mut client = TenantDirectoryClient::new(channel.clone());
            async move {
                let mut took = Vec::new();
                for id in ids.iter().cycle().skip(first) {
                    let mut request = tonic::Request::new(GetTenantRequest { tenant_id: id.clone() });
                    let bearer = format!("Bearer {GRPC_TOKEN}").parse().expect("a token");
                    request.metadata_mut().insert("authorization", bearer);
                    let asked = Instant::now();
                    let answer = client.get_tenant(request).await.expect("an answer").into_inner();
                    assert!(answer.tenant.is_some(), "it was provisioned");
                    took.push(asked.elapsed());
                    if begun.elapsed() > LASTING {
                        break;
                    }
                }
                took
            }
        })
        .buffer_unordered(CONCURRENCY)
        .map(stream::iter)
        .flatten()
        .collect()
        .await;
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    took.sort_unstable();
    let micros = |percent| percentile(&took, percent).as_micros();
    (per_second, micros(50), micros(99))
}

/// A process, and how long it took until it was ready.
async fn started(program: &str, variables: &HashMap<String, String>, server: &str) -> (Process, Duration) {
    let begun = Instant::now();
    let process = Process::start(program, &[], variables);
    until_ready(process.address(server)).await;
    (process, begun.elapsed())
}

async fn median(mut measure: impl AsyncFnMut() -> Duration) -> Duration {
    let mut all = Vec::new();
    for _ in 0..STARTS {
        all.push(measure().await);
    }
    all.sort_unstable();
    all[STARTS / 2]
}
