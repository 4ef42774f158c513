//! Deliveries while tenants change: nothing is sent under a state that a change has ended.

use std::time::{Duration, Instant};

use e2e::{
    receiver::{Manner, Receiver},
    world::Operator,
};
use serde_json::{Value, json};

use crate::support::{Service, TestDatabase, postgres, sqlite};

/// `data` of the answer, which must be a success.
async fn call(operator: &Operator, method: &str, path: &str, body: Option<Value>) -> Value {
    let (_, answer) = operator.call(method, path, body).await;
    assert_eq!(answer["success"], true, "{method} {path}: {answer}");
    answer["data"].clone()
}

async fn nothing_is_sent_under_a_state_that_is_over(database: TestDatabase) {
    let service = Service::delivering(database).await;
    let receiver = Receiver::start(|_| Manner::Takes(Duration::from_millis(5))).await;
    let operator = service.operator();
    let fields = json!({"tenant_name": "Acme", "callback_url_base": receiver.base("callbacks")});
    let made = call(&operator, "POST", "/provision/tenant", Some(fields)).await;
    let tenant = made["tenant_id"].as_str().expect("an id").to_owned();
    let of_tenant = |path: &str| format!("{path}?tenant_id={tenant}");

    let sending = {
        let operator = operator.clone();
        let path = of_tenant("/send/test-event");
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for _ in 0..400 {
                let event = call(&operator, "POST", &path, Some(json!({}))).await;
                sent.push(event["event"]["event_id"].as_str().expect("an id").to_owned());
            }
            sent
        })
    };

    let mut secret = made["tenant_secret"].as_str().expect("a secret").to_owned();
    let (mut rounds, mut stale) = (0, 0);
    while !sending.is_finished() {
        rounds += 1;
        call(&operator, "POST", &of_tenant("/suspend/tenant"), None).await;
        let suspended = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stale += receiver.arrivals().iter().filter(|arrived| arrived.at > suspended).count();
        call(&operator, "POST", &of_tenant("/reactivate/tenant"), None).await;
        tokio::time::sleep(Duration::from_millis(20)).await;

        let rotated = call(&operator, "POST", &of_tenant("/rotate/tenant-secret"), None).await;
        let since = Instant::now();
        let old = std::mem::replace(&mut secret, rotated["tenant_secret"].as_str().expect("a secret").to_owned());
        tokio::time::sleep(Duration::from_millis(20)).await;
        let arrivals = receiver.arrivals();
        let after = arrivals.iter().filter(|arrived| arrived.at > since);
        stale += after.filter(|arrived| arrived.is_signed_with(&old)).count();
    }
    assert_eq!((stale, rounds > 3), (0, true), "in {rounds} rounds");

    // What was held has come, each event once.
    let sent = sending.await.expect("no panic");
    let deadline = Instant::now() + Duration::from_secs(20);
    while receiver.arrivals().len() < sent.len() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut arrived: Vec<String> = receiver.arrivals().iter().map(|arrived| arrived.event_id().to_owned()).collect();
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
    let receiver = Receiver::start(|_| Manner::Takes(Duration::from_secs(2))).await;
    let fields = json!({"tenant_name": "Acme", "callback_url_base": receiver.base("callbacks")});
    let operator = service.operator();
    let made = call(&operator, "POST", "/provision/tenant", Some(fields)).await;
    let tenant = made["tenant_id"].as_str().expect("an id");
    let sent = call(&operator, "POST", &format!("/send/test-event?tenant_id={tenant}"), Some(json!({}))).await;
    while receiver.arrivals().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let database = service.stop().await;

    let service = Service::delivering(database).await;
    let id = sent["event"]["event_id"].as_str().expect("an id");
    let event = call(&service.operator(), "GET", &format!("/fetch/event?tenant_id={tenant}&event_id={id}"), None).await;
    assert_eq!((&event["event"]["state"], &event["event"]["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(receiver.arrivals().len(), 1);
    service.stop().await;
}
