//! Two gateways, one count.

use std::time::Instant;

use e2e::{redis::Redis, signed::Tenant};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use wire::time::now_unix_ms;

use super::caller::{admitted, call, fleet, metric, part, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_spread_unevenly_are_admitted_as_if_one_gateway_counted() {
    /// Each of two gateways that counted alone would admit half of it, and the second gets fewer calls than that.
    const LIMIT: u32 = 600;
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let tenant = tenant(&fleet, LIMIT).await;
    let client = Client::new();
    let began = Instant::now();
    // All but a hundred calls come to the first gateway, eight at a time.
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (client, tenant) = (client.clone(), tenant.clone());
            let relays: Vec<_> = fleet.gateways.iter().map(|gateway| gateway.relay).collect();
            tokio::spawn(async move {
                let mut count = 0;
                for number in 0..1250 {
                    let relay = relays[usize::from((number + caller) % 100 == 0)];
                    count += admitted(&client, &tenant, relay, 1).await;
                }
                count
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await.expect("all were answered");
    }
    let seconds = began.elapsed().as_secs_f64();
    let expected = f64::from(LIMIT) * (1.0 + seconds / 60.0);
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let count = count as f64;
    for gateway in &fleet.gateways {
        let alone = metric(gateway.process.address("gateway-ops"), "redis_counted_alone_total").await;
        assert!(alone < 0.5, "{alone} calls were counted alone");
    }
    assert!((count - expected).abs() <= expected / 100.0, "{count} in {seconds} s, and {expected} were to be admitted");
}

#[tokio::test]
async fn the_rate_limit_headers_go_on_at_the_other_gateway() {
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let tenant = tenant(&fleet, 60).await;
    let client = Client::new();
    let mut left = Vec::new();
    for number in 0..20 {
        let answer = call(&client, &tenant, fleet.gateways[number % 2].relay).await;
        assert_eq!(answer.headers()["ratelimit-policy"], "\"tenant\";q=60;w=60");
        left.push(part(&answer, "r"));
    }
    // One comes back each second.
    assert!(
        left.is_sorted_by(|before, after| before.abs_diff(*after) <= 1) && (40..=45).contains(&left[19]),
        "{left:?}"
    );
    while call(&client, &tenant, fleet.gateways[0].relay).await.status() == 200 {}
    let refused = call(&client, &tenant, fleet.gateways[1].relay).await;
    assert_eq!((refused.status().as_u16(), part(&refused, "r")), (429, 0));
    assert!(refused.headers()["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds") <= 2);
    // A limit that is raised counts at once, and is one count again.
    let update = format!("/update/tenant?tenant_id={}", tenant.id);
    let (status, _) =
        fleet.replicas[0].operator().call("POST", &update, Some(json!({"rate_limit_per_min": 100}))).await;
    assert_eq!(status, 200);
    for gateway in &fleet.gateways {
        assert_eq!(call(&client, &tenant, gateway.relay).await.status(), 200);
    }
}

/// Sends what was signed once, as it is.
pub(crate) async fn send(
    tenant: &Tenant,
    relay: impl std::fmt::Display,
    method: Method,
    path: &str,
    at: i64,
    body: &str,
) -> (u16, String) {
    let mut request = Client::new().request(method, format!("http://{relay}/api/v1/relay/{path}"));
    for (name, value) in tenant.headers(at, body.as_bytes()) {
        request = request.header(name, value);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let told: Value = answer.json().await.expect("JSON");
    (status, told["error_code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_captured_call_is_refused_by_the_other_gateway() {
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let tenant = tenant(&fleet, 1000).await;
    let [one, other] = [fleet.gateways[0].relay, fleet.gateways[1].relay];
    let (fine, replayed) = ((200, String::new()), (409, "replayed_request".to_owned()));
    let (post, get) = (Method::POST, Method::GET);
    let body = json!({"content": "once"}).to_string();

    let at = now_unix_ms();
    assert_eq!(send(&tenant, one, post.clone(), "create/note?conversation_id=a", at, &body).await, fine);
    assert_eq!(send(&tenant, other, post.clone(), "create/note?conversation_id=a", at, &body).await, replayed);
    assert_eq!(
        send(&tenant, other, post.clone(), "CREATE/note?conversation_id=A", at, &body).await,
        replayed,
        "spelt otherwise"
    );
    assert_eq!(
        send(&tenant, other, post.clone(), "create/note?conversation_id=b", at, &body).await,
        fine,
        "another target"
    );
    assert_eq!(send(&tenant, one, post.clone(), "create/note?conversation_id=b", at, &body).await, replayed);

    let at = now_unix_ms();
    assert_eq!(send(&tenant, one, post.clone(), "close/all", at, "").await, fine);
    assert_eq!(
        send(&tenant, other, post.clone(), "open/all", at, "").await,
        replayed,
        "without a body it is good once"
    );
    assert_eq!(send(&tenant, other, get.clone(), "fetch/notes", at, "").await, fine, "reading is no replay");

    let at = now_unix_ms();
    assert_eq!(send(&tenant, one, get.clone(), "fetch/notes", at, "").await, fine);
    assert_eq!(send(&tenant, other, get.clone(), "fetch/notes", at, "").await, fine);
    assert_eq!(
        send(&tenant, other, Method::DELETE, "delete/notes", at, "").await,
        replayed,
        "what read does not write"
    );

    // A read that the rate refuses was signed for reading all the same.
    let few = super::caller::tenant(&fleet, 1).await;
    let at = now_unix_ms();
    assert_eq!(send(&few, one, post.clone(), "create/note", at, &body).await, fine);
    assert_eq!(send(&few, one, get.clone(), "fetch/notes", at, "").await.0, 429);
    assert_eq!(send(&few, other, post.clone(), "delete/all", at, "").await, replayed);

    // What the relay itself refuses comes back.
    let (at, wrong) = (now_unix_ms(), json!({"title": ""}).to_string());
    for relay in [one, other, one] {
        let told = send(&tenant, relay, post.clone(), "create/contact-ticket", at, &wrong).await;
        assert_eq!(told, (422, "validation_failed".to_owned()));
        until_given_back(&redis).await;
    }
}

/// Until no signature's use is kept but those that were spent: a refused call gives its own back without waiting.
async fn until_given_back(redis: &Redis) {
    let deadline = Instant::now() + e2e::process::PATIENCE;
    let spent = ["create/note", "close/all", "fetch/notes", "few: create/note", "few: fetch/notes"].len();
    while redis.cli(&["--scan", "--pattern", "*:used:*"]).lines().filter(|line| !line.is_empty()).count() > spent {
        assert!(Instant::now() < deadline, "it is not given back");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_signature_was_used_for_is_forgotten_once_it_could_not_be_admitted() {
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let tenant = tenant(&fleet, 1000).await;
    let body = json!({"content": "old"}).to_string();
    let at = now_unix_ms() - 20_000;
    assert_eq!(send(&tenant, fleet.gateways[0].relay, Method::POST, "create/note", at, &body).await.0, 200);
    let key = redis.cli(&["--scan", "--pattern", "*:used:*"]);
    assert!(key.starts_with(&format!("{{{}}}", tenant.id)), "{key}: a tenant's keys share a slot");
    let left: i64 = redis.cli(&["PTTL", &key]).parse().expect("milliseconds");
    assert!((13_000..=15_000).contains(&left), "the timestamp + 35 s: {left}");
    let rate = redis.cli(&["--scan", "--pattern", "*:rate:*"]);
    let left: i64 = redis.cli(&["PTTL", &rate]).parse().expect("milliseconds");
    assert!(left <= 60_000, "{left}");
}

#[tokio::test]
async fn sessions_of_a_widget_key_are_counted_for_all_gateways() {
    let redis = Redis::start();
    let fleet = fleet(&redis).await;
    let operator = fleet.replicas[0].operator();
    let tenant = operator.provision(json!({"tenant_name": "Acme", "allowed_origins": ["https://acme.example"]})).await;
    let tenant = operator.with_widget_key(tenant, 100).await;
    let client = Client::new();
    let begin = async |gateway: usize| {
        let body = json!({"tenant_id": tenant.id, "widget_public_key": tenant.widget_public_key, "origin": "https://acme.example"});
        let url = format!("http://{}/api/v1/create/visitor-session", fleet.gateways[gateway].relay);
        let answer =
            client.post(url).header("origin", "https://acme.example").json(&body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON"))
    };
    // One address may have a fifth of the key's sessions. A gateway that counted alone would begin half of them.
    for number in 0..20 {
        let (status, told) = begin(0).await;
        assert_eq!(status, 201, "{number}: {told}");
    }
    for gateway in [0, 1] {
        let (status, told) = begin(gateway).await;
        assert_eq!((status, &told["error_code"]), (429, &json!("rate_limited")), "{told}");
    }
}
