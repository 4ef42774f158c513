//! What a visitor's socket costs a gateway, and how long a suspension takes to close a tenant's: resident memory before and
//! after so many are open, each with a session and a conversation of its own.
//! `cargo build --profile dist --workspace --bins && cargo bench --profile dist -p e2e --bench sockets [-- SOCKETS]`.

use std::time::{Duration, Instant};

use e2e::{
    visitor::{PAGE, open_many},
    world::World,
};
use serde_json::json;

/// Of the tenant that is suspended at the end.
const SUSPENDED: usize = 1000;

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5000);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(count));
}

async fn measure(count: usize) {
    let world = World::start(&[
        ("ADMIN_ACCESS_LOG", "false"),
        ("CHAT_BACKEND_ACCESS_LOG", "false"),
        ("GATEWAY_LOG_FILTER", "warn,relay_gateway::server=info"),
        ("GATEWAY_SESSIONS_PER_MIN", "1000000"),
        ("GATEWAY_UNVERIFIED_PER_MIN", "1000000"),
    ])
    .await;
    let (one, other) = (world.measured_tenant(PAGE).await, world.measured_tenant(PAGE).await);
    // Connections, buffers and the allocator's arenas are there before it is measured.
    drop(open_many(world.relay, &other, 200).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = (world.gateway.resident_bytes(), world.backend.resident_bytes());
    let opening = Instant::now();
    let doomed = open_many(world.relay, &one, SUSPENDED.min(count)).await;
    let kept = open_many(world.relay, &other, count.saturating_sub(SUSPENDED)).await;
    let opened = opening.elapsed();
    let after = (world.gateway.resident_bytes(), world.backend.resident_bytes());
    let each = |before: u64, after: u64| after.saturating_sub(before) / count as u64;
    println!(
        "{count} sockets opened in {opened:.1?}; gateway {:.1} -> {:.1} MiB resident, {} bytes each; reference backend {} bytes each",
        before.0 as f64 / 1048576.0,
        after.0 as f64 / 1048576.0,
        each(before.0, after.0),
        each(before.1, after.1),
    );

    let begun = Instant::now();
    let watching: Vec<_> = doomed
        .into_iter()
        .map(|(mut visitor, _)| {
            tokio::spawn(async move {
                assert_eq!(visitor.closed().await, 4403);
                begun.elapsed()
            })
        })
        .collect();
    let (status, answer) = world.operator().call("POST", &format!("/suspend/tenant?tenant_id={}", one.id), None).await;
    let returned = begun.elapsed();
    assert_eq!((status, &answer["data"]["propagation"]["acknowledged"]), (200, &json!(1)), "{answer}");
    let mut last = Duration::ZERO;
    for watched in watching {
        last = last.max(watched.await.expect("closed"));
    }
    println!(
        "suspending a tenant with {} of them: returned after {returned:.0?}, the last browser was told after {last:.0?}",
        SUSPENDED.min(count)
    );
    drop(kept);
}
