//! A tenant's backend that calls one gateway after the other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e::{fleet::Fleet, process::PATIENCE, redis::Redis, signed::Tenant};
use reqwest::{Client, Method, Response};
use serde_json::json;
use tokio::time::sleep;

/// Two gateways that count in one Redis, under short leases, so that both soon know how many they are. They are patient: on a machine that
/// is busy with other tests, no call may be counted alone for that.
pub(crate) async fn fleet(redis: &Redis) -> Fleet {
    fleet_at(&redis.url(), &[("GATEWAY_REDIS_TIMEOUT_MS", "1000")]).await
}

pub(crate) async fn fleet_at(url: &str, extra: &[(&str, &str)]) -> Fleet {
    let both = [&[("GATEWAY_REDIS_URL", url), ("GATEWAY_THREADS", "2"), ("ADMIN_LEASE_MS", "1000")], extra].concat();
    let fleet = Fleet::start(None, 2, &both).await;
    for gateway in &fleet.gateways {
        until_ready_says(gateway.relay, "counted for all gateways").await;
        let ops = gateway.process.address("gateway-ops");
        let deadline = Instant::now() + PATIENCE;
        while metric(ops, "directory_gateways").await < 1.5 {
            assert!(Instant::now() < deadline, "it is not told of the other gateway");
            sleep(Duration::from_millis(20)).await;
        }
    }
    fleet
}

pub(crate) async fn tenant(fleet: &Fleet, per_min: u32) -> Tenant {
    let body = json!({"tenant_name": "Acme", "rate_limit_per_min": per_min});
    fleet.replicas[0].operator().provision(body).await
}

/// Sends a message that no other call has sent.
pub(crate) async fn call(client: &Client, tenant: &Tenant, relay: SocketAddr) -> Response {
    let body = json!({"content": uuid::Uuid::new_v4()}).to_string();
    let request = tenant.request(client, Method::POST, &format!("http://{relay}/api/v1/relay/create/note"), body);
    request.send().await.expect("an answer")
}

/// What of a `RateLimit` header is named `r` or `t`.
pub(crate) fn part(answer: &Response, name: &str) -> u64 {
    let header = answer.headers()["ratelimit"].to_str().expect("text");
    let found = header.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.expect("a part").parse().expect("a number")
}

/// How many of so many calls are admitted; the others are told that they are too many.
pub(crate) async fn admitted(client: &Client, tenant: &Tenant, relay: SocketAddr, calls: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..calls {
        match call(client, tenant, relay).await.status().as_u16() {
            200 => admitted += 1,
            status => assert_eq!(status, 429),
        }
    }
    admitted
}

pub(crate) async fn until_ready_says(relay: SocketAddr, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = reqwest::get(format!("http://{relay}/readyz")).await.expect("an answer");
        assert_eq!(answer.status(), 200, "a gateway is ready without Redis too");
        let told = answer.text().await.expect("text");
        if told.contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "{told} does not come to say {words}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sends the whole of a limit to the first gateway, which admits all of it, and as many calls to the second, which admits hardly one. If each
/// counted alone, both would admit a part.
pub(crate) async fn counts_together(fleet: &Fleet) {
    const LIMIT: u32 = 30;
    let (client, tenant) = (Client::new(), tenant(fleet, LIMIT).await);
    let mut counts = Vec::new();
    for gateway in &fleet.gateways {
        counts.push(admitted(&client, &tenant, gateway.relay, LIMIT as usize).await);
    }
    // One comes back each two seconds.
    assert!(counts[0] == LIMIT as usize && counts[1] < 4, "{counts:?}");
}

/// The sum of a counter's values at a gateway.
pub(crate) async fn metric(ops: SocketAddr, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{ops}/metrics")).await.expect("an answer").text().await.expect("text");
    let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().expect("a number")).sum()
}
