//! A rotation with overlap through real processes: no call is refused while both secrets are accepted, and at the end of the overlap none of the
//! old secret is accepted anywhere.

use std::time::Duration;

use e2e::{fleet::Fleet, signed::Tenant, world::Operator};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use wire::time::now_unix_ms;

const OVERLAP: Duration = Duration::from_secs(4);

/// What a call of a tenant is answered at a gateway.
async fn call(client: &Client, relay: &str, tenant: &Tenant) -> u16 {
    let body = format!("{{\"nonce\":\"{:x}\"}}", fastrand::u128(..));
    let request = tenant.request(client, Method::POST, &format!("{relay}/add/message"), body);
    request.send().await.expect("an answer").status().as_u16()
}

async fn fetch(operator: &Operator, tenant: &Tenant) -> Value {
    let (_, answer) = operator.call("GET", &format!("/fetch/tenant?tenant_id={}", tenant.id), None).await;
    answer["data"].clone()
}

fn ms(time: &Value) -> i64 {
    time.as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_are_accepted_until_the_end_of_the_overlap_and_none_of_the_old_after_it() {
    let fleet = Fleet::start(None, 2, &[]).await;
    let operator = fleet.replicas[0].operator();
    let mut tenant = operator.provision(json!({"tenant_name": "Rotated", "rate_limit_per_min": 6_000_000})).await;
    let old = tenant.clone();
    let relays: Vec<_> =
        fleet.gateways.iter().map(|gateway| format!("http://{}/api/v1/relay", gateway.relay)).collect();
    let client = Client::new();
    for relay in &relays {
        assert_eq!(call(&client, relay, &tenant).await, 200, "it is cached");
    }

    let path = format!("/rotate/tenant-secret?tenant_id={}&grace_seconds={}", tenant.id, OVERLAP.as_secs());
    let (status, rotated) = operator.call("POST", &path, None).await;
    assert_eq!(status, 200, "{rotated}");
    rotated["data"]["tenant_secret"].as_str().expect("a secret").clone_into(&mut tenant.secret);
    let end = ms(&rotated["data"]["previous_secret_expires_at"]);

    // A gateway counts from before it asks: it may end the overlap that much sooner.
    let mut sooner = 0;
    for relay in &relays {
        let began = now_unix_ms();
        assert_eq!(call(&client, relay, &tenant).await, 200);
        sooner = sooner.max(now_unix_ms() - began);
    }
    // One clock judges here: the end is the admin service's, which runs on this machine.
    let (mut accepted, mut refused) = (0, 0);
    while now_unix_ms() < end + 1000 {
        for relay in &relays {
            assert_eq!(call(&client, relay, &tenant).await, 200, "the new one");
            let began = now_unix_ms();
            let status = call(&client, relay, &old).await;
            let ended = now_unix_ms();
            match status {
                200 => assert!(began < end, "accepted {} ms after the end", began - end),
                401 => assert!(ended >= end - sooner, "refused {} ms before the end", end - ended),
                _ => panic!("{status}"),
            }
            *if status == 200 { &mut accepted } else { &mut refused } += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(accepted > 20 && refused > 20, "{accepted} and {refused}");
    let fetched = fetch(&operator, &tenant).await;
    assert_eq!(fetched["previous_secret_expires_at"], Value::Null, "{fetched}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_still_signs_with_the_old_secret_and_ends_it() {
    let fleet = Fleet::start(None, 2, &[]).await;
    let operator = fleet.replicas[0].operator();
    let tenant = operator.provision(json!({"tenant_name": "Rotated"})).await;
    let path = format!("/rotate/tenant-secret?tenant_id={}&grace_seconds=604800", tenant.id);
    assert_eq!(operator.call("POST", &path, None).await.0, 200);
    assert_eq!(fetch(&operator, &tenant).await["previous_secret_last_used_at"], Value::Null);

    let client = Client::new();
    let relays: Vec<_> =
        fleet.gateways.iter().map(|gateway| format!("http://{}/api/v1/relay", gateway.relay)).collect();
    let before = now_unix_ms();
    assert_eq!(call(&client, &relays[1], &tenant).await, 200);
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    let shown = loop {
        let fetched = fetch(&operator, &tenant).await;
        if fetched["previous_secret_last_used_at"].is_string() {
            break fetched;
        }
        assert!(std::time::Instant::now() < deadline, "{fetched}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!((before..=now_unix_ms()).contains(&ms(&shown["previous_secret_last_used_at"])), "{shown}");
    assert!(shown["previous_secret_last_used_by"].as_str().is_some_and(|name| !name.is_empty()), "{shown}");

    let path = format!("/revoke/previous-secret?tenant_id={}", tenant.id);
    assert_eq!(operator.call("POST", &path, None).await.0, 200);
    for relay in &relays {
        assert_eq!(call(&client, relay, &tenant).await, 401, "at once, everywhere");
    }
}
