//! What a change and a restart cost where nothing fails.

use std::{net::SocketAddr, time::Duration};

use e2e::{
    fleet::Fleet,
    postgres::Postgres,
    scale,
    signed::Tenant,
    world::{self, Operator},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// Calls each of the tenants once at the gateway, and fails where one is not accepted.
async fn call_all(client: &Client, relay: SocketAddr, tenants: &[Tenant], nonce: &str) {
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
