//! Redis killed, paused, slow, full and read-only: nothing fails, nothing waits for long, nothing is without a limit, and it heals.

use std::time::{Duration, Instant};

use e2e::{fleet::Fleet, process::PATIENCE, redis::Redis};
use reqwest::{Client, Method};
use wire::time::now_unix_ms;

use super::{
    caller::{admitted, call, counts_together, fleet, fleet_at, metric, tenant, until_ready_says},
    together::send,
};

/// A gateway's workers, each of which has a connection. One that takes no call finds out later.
const WORKERS: f64 = 2.0;

/// A tenant's calls in a minute. Each of two gateways admits half of them while it counts alone.
const LIMIT: u32 = 40;

/// Brings the fault about, and calls both gateways while it lasts and after it is mended.
async fn survives(fault: impl AsyncFnOnce(&Redis), mend: impl AsyncFnOnce(&Redis)) {
    let redis = Redis::start();
    // Patient enough that no call is late because the machine is busy.
    let fleet = fleet_at(&redis.url(), &[("GATEWAY_REDIS_TIMEOUT_MS", "100")]).await;
    let client = Client::new();
    let warm = tenant(&fleet, 100_000).await;
    for gateway in &fleet.gateways {
        for _ in 0..20 {
            assert_eq!(call(&client, &warm, gateway.relay).await.status(), 200);
        }
        let connections = metric(gateway.process.address("gateway-ops"), "redis_connections").await;
        assert!((connections - WORKERS).abs() < 0.5, "{connections}");
    }
    fault(&redis).await;
    counts_alone(&fleet, &client).await;
    mend(&redis).await;
    for gateway in &fleet.gateways {
        until_ready_says(gateway.relay, "counted for all gateways").await;
    }
    counts_together(&fleet).await;
    for gateway in &fleet.gateways {
        let log = gateway.process.log();
        assert!(!log.contains("panicked") && !log.contains("\"level\":\"ERROR\""), "{log}");
    }
}

/// Calls that are on their way when Redis falls silent wait as long as a call may, and after them none does; each gateway admits its share.
async fn counts_alone(fleet: &Fleet, client: &Client) {
    let tenant = tenant(fleet, LIMIT).await;
    let mut per_gateway = Vec::new();
    for gateway in &fleet.gateways {
        let mut count = 0;
        for _ in 0..40 {
            let answer = call(client, &tenant, gateway.relay).await;
            match answer.status().as_u16() {
                200 => count += 1,
                status => assert_eq!(status, 429),
            }
        }
        per_gateway.push(count);
        until_ready_says(gateway.relay, "count alone").await;
        let ops = gateway.process.address("gateway-ops");
        let waited = metric(ops, r#"redis_counted_alone_total{reason="late""#).await;
        assert!(waited < 6.0, "{waited} calls waited in vain");
        let alone = metric(ops, "redis_counted_alone_total").await;
        assert!(alone > 39.5, "{alone} of 40 calls were counted alone");
        assert!(metric(ops, "redis_connections").await < WORKERS);
    }
    // A few more come back while the calls last.
    assert!(per_gateway.iter().all(|count| (20..25).contains(count)), "{per_gateway:?}");
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty() {
    survives(async |redis| redis.kill(), async |redis| redis.restart()).await;
}

#[tokio::test]
async fn redis_is_paused_with_its_connections_open() {
    survives(async |redis| redis.pause(), async |redis| redis.resume()).await;
}

#[tokio::test]
async fn redis_answers_many_seconds_late() {
    // It answers nobody, whatever is asked, and then everything at once.
    let late = async |redis: &Redis| {
        assert_eq!(redis.cli(&["CLIENT", "PAUSE", "15000", "ALL"]), "OK");
    };
    survives(late, async |_| {}).await;
}

#[tokio::test]
async fn redis_is_out_of_memory() {
    let full = async |redis: &Redis| {
        assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    };
    let freed = async |redis: &Redis| {
        assert_eq!(redis.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    };
    survives(full, freed).await;
}

#[tokio::test]
async fn redis_may_only_be_read_after_a_failover() {
    let replica = async |redis: &Redis| {
        assert_eq!(redis.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    };
    let master = async |redis: &Redis| {
        assert_eq!(redis.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    };
    survives(replica, master).await;
}

#[tokio::test]
async fn what_was_refused_while_redis_was_paused_may_be_sent_to_the_other_gateway() {
    let redis = Redis::start();
    let fleet = fleet_at(&redis.url(), &[]).await;
    let tenant = tenant(&fleet, 100).await;
    let (at, wrong) = (now_unix_ms(), r#"{"title":""}"#);
    redis.pause();
    for gateway in &fleet.gateways {
        let told = send(&tenant, gateway.relay, Method::POST, "create/contact-ticket", at, wrong).await;
        assert_eq!(told, (422, "validation_failed".to_owned()), "Redis may have taken the signature, and nobody knows");
    }
    redis.resume();
    for gateway in &fleet.gateways {
        until_ready_says(gateway.relay, "counted for all gateways").await;
    }
    // What both asked of Redis is done by now, and what they gave back too.
    let deadline = Instant::now() + PATIENCE;
    while !redis.cli(&["--scan", "--pattern", &format!("*{}*:used:*", tenant.id)]).is_empty() {
        assert!(Instant::now() < deadline, "the signature stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told = send(&tenant, fleet.gateways[0].relay, Method::POST, "create/contact-ticket", at, wrong).await;
    assert_eq!(told.0, 422);
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_scripts_is_told_them() {
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let (client, tenant) = (Client::new(), tenant(&fleet, 100).await);
    let gateway = &fleet.gateways[0];
    assert_eq!(call(&client, &tenant, gateway.relay).await.status(), 200);
    assert_eq!(redis.cli(&["SCRIPT", "FLUSH"]), "OK");
    let before = metric(gateway.process.address("gateway-ops"), "redis_counted_alone_total").await;
    assert_eq!(call(&client, &tenant, gateway.relay).await.status(), 200);
    let after = metric(gateway.process.address("gateway-ops"), "redis_counted_alone_total").await;
    assert!((after - before).abs() < 0.5, "it was counted in Redis");
}

#[tokio::test]
async fn a_gateway_starts_without_redis_and_counts_in_it_once_it_is_there() {
    let redis = Redis::start();
    redis.kill();
    let url = redis.url();
    let fleet = Fleet::start(None, 1, &[("GATEWAY_REDIS_URL", &url)]).await;
    let (client, tenant) = (Client::new(), tenant(&fleet, 10).await);
    let relay = fleet.gateways[0].relay;
    until_ready_says(relay, "count alone").await;
    let alone = admitted(&client, &tenant, relay, 20).await;
    assert!((10..13).contains(&alone), "one gateway's share is everything: {alone}");
    redis.restart();
    until_ready_says(relay, "counted for all gateways").await;
    assert_eq!(call(&client, &tenant, relay).await.status(), 200);
    assert!(!redis.cli(&["--scan", "--pattern", "*:rate:10"]).is_empty());
}
