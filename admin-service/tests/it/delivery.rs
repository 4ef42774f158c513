//! Deliveries while tenants change: nothing is sent under a state that a change has ended.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::any};
use reqwest::Client;
use serde_json::{Value, json};
use wire::signature::{BodyDigest, Signature, TenantKey};

use crate::support::{Service, TestDatabase, postgres, sqlite};
use e2e::world::ADMIN_KEY;

/// A request that the receiver got.
struct Arrived {
    at: Instant,
    headers: HeaderMap,
    body: Bytes,
}

type Inbox = Arc<Mutex<Vec<Arrived>>>;

/// A receiver that takes everything, `after` a moment.
async fn receiver(after: Duration) -> (SocketAddr, Inbox) {
    let inbox = Inbox::default();
    let take = move |State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes| async move {
        inbox.lock().expect("not poisoned").push(Arrived { at: Instant::now(), headers, body });
        tokio::time::sleep(after).await;
        "taken"
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/{*path}", any(take)).with_state(Arc::clone(&inbox));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, inbox)
}

struct Operator {
    http: Client,
    base: String,
}

impl Operator {
    fn of(service: &Service) -> Self {
        Self { http: Client::new(), base: format!("http://{}/api/v1", service.rest) }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.base));
        let request = request.header("x-admin-key", ADMIN_KEY);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["success"], true, "{method} {path}: {answer}");
        answer["data"].clone()
    }
}

fn is_signed_with(arrived: &Arrived, secret: &str) -> bool {
    let header = |name: &str| arrived.headers[name].to_str().expect("text").to_owned();
    let signature = Signature::from_hex(header("x-bloonio-signature").as_bytes()).expect("a signature");
    TenantKey::new(secret.as_bytes()).verify(&header("x-bloonio-timestamp"), &BodyDigest::of(&arrived.body), &signature)
}

async fn nothing_is_sent_under_a_state_that_is_over(database: TestDatabase) {
    let service = Service::delivering(database).await;
    let (address, inbox) = receiver(Duration::from_millis(5)).await;
    let operator = Operator::of(&service);
    let fields = json!({"tenant_name": "Acme", "callback_url_base": format!("http://{address}")});
    let made = operator.call("POST", "/provision/tenant", Some(fields)).await;
    let tenant = made["tenant_id"].as_str().expect("an id").to_owned();
    let of_tenant = |path: &str| format!("{path}?tenant_id={tenant}");

    let sending = {
        let operator = Operator { http: operator.http.clone(), base: operator.base.clone() };
        let path = of_tenant("/send/test-event");
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for _ in 0..400 {
                let event = operator.call("POST", &path, Some(json!({}))).await;
                sent.push(event["event"]["event_id"].as_str().expect("an id").to_owned());
            }
            sent
        })
    };

    let mut secret = made["tenant_secret"].as_str().expect("a secret").to_owned();
    let (mut rounds, mut stale) = (0, 0);
    while !sending.is_finished() {
        rounds += 1;
        operator.call("POST", &of_tenant("/suspend/tenant"), None).await;
        let suspended = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stale += inbox.lock().expect("not poisoned").iter().filter(|arrived| arrived.at > suspended).count();
        operator.call("POST", &of_tenant("/reactivate/tenant"), None).await;
        tokio::time::sleep(Duration::from_millis(20)).await;

        let rotated = operator.call("POST", &of_tenant("/rotate/tenant-secret"), None).await;
        let since = Instant::now();
        let old = std::mem::replace(&mut secret, rotated["tenant_secret"].as_str().expect("a secret").to_owned());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let inbox = inbox.lock().expect("not poisoned");
        let after = inbox.iter().filter(|arrived| arrived.at > since);
        stale += after.filter(|arrived| is_signed_with(arrived, &old)).count();
    }
    assert_eq!((stale, rounds > 3), (0, true), "in {rounds} rounds");

    // What was held has come, each event once.
    let sent = sending.await.expect("no panic");
    let deadline = Instant::now() + Duration::from_secs(20);
    while inbox.lock().expect("not poisoned").len() < sent.len() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut arrived: Vec<String> = {
        let inbox = inbox.lock().expect("not poisoned");
        inbox.iter().map(|arrived| arrived.headers["x-bloonio-event-id"].to_str().expect("text").to_owned()).collect()
    };
    let mut expected = sent.clone();
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_under_a_state_that_is_over_on_sqlite() {
    nothing_is_sent_under_a_state_that_is_over(sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_under_a_state_that_is_over_on_postgres() {
    nothing_is_sent_under_a_state_that_is_over(postgres()).await;
}

/// A deployment must not double what is under way: the answer is waited for, and written.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_under_way_when_the_process_stops_is_recorded() {
    let service = Service::delivering(sqlite()).await;
    let (address, inbox) = receiver(Duration::from_secs(2)).await;
    let fields = json!({"tenant_name": "Acme", "callback_url_base": format!("http://{address}")});
    let operator = Operator::of(&service);
    let made = operator.call("POST", "/provision/tenant", Some(fields)).await;
    let tenant = made["tenant_id"].as_str().expect("an id");
    let sent = operator.call("POST", &format!("/send/test-event?tenant_id={tenant}"), Some(json!({}))).await;
    while inbox.lock().expect("not poisoned").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let database = service.stop().await;

    let service = Service::delivering(database).await;
    let id = sent["event"]["event_id"].as_str().expect("an id");
    let event =
        Operator::of(&service).call("GET", &format!("/fetch/event?tenant_id={tenant}&event_id={id}"), None).await;
    assert_eq!((&event["event"]["state"], &event["event"]["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(inbox.lock().expect("not poisoned").len(), 1);
    service.stop().await;
}
