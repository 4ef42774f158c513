//! What a cached tenant costs a gateway: resident memory before and after so many tenants have called, rates and replay
//! guard included. `cargo build --profile dist --workspace --bins && cargo bench --profile dist -p e2e --bench memory [-- TENANTS]`.

use std::{sync::Arc, time::Instant};

use e2e::{fleet::Fleet, signed::Tenant};
use reqwest::{Client, Method};
use serde_json::json;

const CONCURRENCY: usize = 32;

/// Runs `work` on every item, so many at a time.
async fn for_each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F + Send + Sync + 'static) -> Vec<R>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let work = Arc::new(work);
    let items = Arc::new(std::sync::Mutex::new(items));
    let workers: Vec<_> = (0..CONCURRENCY)
        .map(|_| {
            let (work, items) = (Arc::clone(&work), Arc::clone(&items));
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let next = items.lock().expect("not poisoned").pop();
                    let Some(item) = next else { return done };
                    done.push(work(item).await);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.expect("no panic"));
    }
    all
}

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(count));
}

async fn measure(count: usize) {
    let quiet = [("ADMIN_ACCESS_LOG", "false"), ("GATEWAY_LOG_FILTER", "warn,relay_gateway::server=info")];
    let fleet = Fleet::start(None, 1, &quiet).await;
    let operator = fleet.replicas[0].operator();
    let provisioned = Instant::now();
    let tenants: Vec<Tenant> = for_each((0..=count).collect(), move |index| {
        let operator = operator.clone();
        let fields = json!({"tenant_name": format!("Tenant {index}"), "rate_limit_per_min": 6_000_000});
        async move { operator.provision(fields).await }
    })
    .await;
    eprintln!("{count} tenants provisioned in {:?}", provisioned.elapsed());

    let (gateway, client) = (&fleet.gateways[0], Client::new());
    let url = format!("http://{}/api/v1/relay/fetch/messages", gateway.relay);
    let call = move |tenant: Tenant| {
        let (client, url) = (client.clone(), url.clone());
        async move {
            let answer = tenant.request(&client, Method::GET, &url, "").send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
    };
    // One tenant, as often as all: connections, buffers and the allocator's arenas are there before it is measured.
    for_each(vec![tenants[0].clone(); 2000], call.clone()).await;
    let before = gateway.process.resident_bytes();
    for_each(tenants, call).await;
    let after = gateway.process.resident_bytes();
    println!(
        "{count} tenants: {:.1} MiB resident before, {:.1} after, {} bytes a tenant",
        before as f64 / 1048576.0,
        after as f64 / 1048576.0,
        after.saturating_sub(before) / count as u64
    );
}
