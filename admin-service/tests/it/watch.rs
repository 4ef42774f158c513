//! `Watch`: when a change returns, and what gateways are told. The gateway here is a client that a test moves by hand.

use std::time::{Duration, Instant};

use e2e::{signed::Tenant, world::Operator};
use proto::directory::v1::{
    Acknowledge, Ask, GiveUp, Hello, Position, WatchRequest, WatchResponse,
    tenant_directory_client::TenantDirectoryClient, watch_request::Message,
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::{
    grpc::{channel, gateway},
    support::{Service, postgres, sqlite},
};

/// Short enough to wait for, long enough that nothing healthy comes near it.
const LEASE: Duration = Duration::from_secs(3);
/// What is done without waiting for a lease to run out is done well within this.
const AT_ONCE: Duration = Duration::from_millis(1500);

struct Gateway {
    to: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    seen: Option<Position>,
    asked: u64,
}

impl Gateway {
    async fn watching(service: &Service, id: Uuid) -> Self {
        let (to, outgoing) = mpsc::channel(16);
        let hello = Hello { gateway: id.as_bytes().to_vec(), name: "by-hand".to_owned() };
        to.send(WatchRequest { message: Some(Message::Hello(hello)) }).await.expect("sent");
        let mut client = TenantDirectoryClient::new(channel(service).await);
        let answers = client.watch(gateway(ReceiverStream::new(outgoing))).await.expect("a stream").into_inner();
        Self { to, answers, seen: None, asked: 0 }
    }

    async fn leased(service: &Service, id: Uuid) -> Self {
        let mut gateway = Self::watching(service, id).await;
        gateway.renew().await;
        gateway
    }

    async fn say(&self, message: Message) {
        self.to.send(WatchRequest { message: Some(message) }).await.expect("sent");
    }

    async fn hear(&mut self) -> WatchResponse {
        let heard = tokio::time::timeout(Duration::from_secs(20), self.answers.message()).await;
        let response = heard.expect("nothing was said").expect("no error").expect("no end");
        self.seen = response.changes.as_ref().and_then(|changes| changes.through.clone());
        response
    }

    /// Asks for a lease, and answers what came with it.
    async fn renew(&mut self) -> WatchResponse {
        self.asked += 1;
        self.say(Message::Ask(Ask { id: self.asked, seen: self.seen.clone() })).await;
        loop {
            let response = self.hear().await;
            if response.grant.as_ref().is_some_and(|grant| grant.id == self.asked) {
                return response;
            }
        }
    }

    /// Asks, and answers whether a lease came of it. Both kinds of answer say what changed since `seen`.
    async fn is_granted(&mut self, seen: Option<Position>) -> bool {
        self.asked += 1;
        self.say(Message::Ask(Ask { id: self.asked, seen })).await;
        while let Ok(heard) = tokio::time::timeout(Duration::from_millis(300), self.answers.message()).await {
            let response = heard.expect("no error").expect("no end");
            self.seen = response.changes.and_then(|changes| changes.through);
            if response.grant.is_some_and(|grant| grant.id == self.asked) {
                return true;
            }
        }
        false
    }

    async fn acknowledge(&self) {
        let through = self.seen.as_ref().expect("something was seen").revision;
        self.say(Message::Acknowledge(Acknowledge { through })).await;
    }
}

fn rotating(operator: &Operator, tenant: &Tenant) -> JoinHandle<(Value, Duration)> {
    let (operator, path) = (operator.clone(), format!("/rotate/tenant-secret?tenant_id={}", tenant.id));
    tokio::spawn(async move {
        let started = Instant::now();
        let (status, answer) = operator.call("POST", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        (answer["data"]["propagation"].clone(), started.elapsed())
    })
}

/// What `/metrics` would show.
fn shown(service: &Service) -> String {
    let mut text = String::new();
    service
        .metrics
        .register(|registry| prometheus_client::encoding::text::encode(&mut text, registry))
        .expect("encodes");
    text
}

fn counted(propagation: &Value) -> (u64, u64) {
    let count = |field: &str| propagation[field].as_u64().expect("a number");
    (count("gateways"), count("acknowledged"))
}

fn keys(response: &WatchResponse) -> Option<Vec<String>> {
    let changes = response.changes.as_ref().expect("changes");
    let id = |bytes: &Vec<u8>| Uuid::from_slice(bytes).expect("16 bytes").to_string();
    (!changes.start_over).then(|| changes.tenant_ids.iter().map(id).collect())
}

#[tokio::test]
async fn a_change_returns_when_every_gateway_has_acknowledged_it() {
    let service = Service::leasing(sqlite(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Watched"})).await;
    let nobody = rotating(&operator, &tenant).await.expect("no panic");
    assert_eq!(counted(&nobody.0), (0, 0));

    let mut one = Gateway::watching(&service, Uuid::new_v4()).await;
    let answer = one.renew().await;
    assert_eq!((keys(&answer), answer.grant.map(|grant| grant.lease_ms)), (None, Some(3000)), "it knew nothing");
    let mut two = Gateway::leased(&service, Uuid::new_v4()).await;
    let rotation = rotating(&operator, &tenant);
    for gateway in [&mut one, &mut two] {
        assert_eq!(keys(&gateway.hear().await), Some(vec![tenant.id.clone()]));
    }
    one.acknowledge().await;
    // An acknowledgement of what it was not told yet is none.
    two.say(Message::Acknowledge(Acknowledge { through: u64::MAX })).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!rotation.is_finished(), "one has not acknowledged");
    two.acknowledge().await;
    let (propagation, took) = rotation.await.expect("no panic");
    assert_eq!(counted(&propagation), (2, 2));
    assert!(took < AT_ONCE && propagation["waited_ms"].as_u64().is_some_and(|ms| ms >= 100), "{propagation}");
    // Provisioning is told, and waits for nobody.
    let new = operator.provision(json!({"tenant_name": "New"})).await;
    assert_eq!(keys(&one.hear().await), Some(vec![new.id]));
}

#[tokio::test]
async fn a_gateway_that_is_cut_off_costs_one_lease_and_one_that_gives_up_nothing() {
    let service = Service::leasing(sqlite(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Cut off"})).await;
    let cut_off = Gateway::leased(&service, Uuid::new_v4()).await;
    let mut leaving = Gateway::leased(&service, Uuid::new_v4()).await;
    leaving.say(Message::GiveUp(GiveUp {})).await;
    drop(leaving.to);
    assert!(leaving.answers.message().await.expect("no error").is_none(), "it was read to the end");
    let asked = Instant::now();
    // Its stream ends, and its lease does not.
    drop(cut_off);
    let (propagation, _) = rotating(&operator, &tenant).await.expect("no panic");
    assert_eq!(counted(&propagation), (1, 0));
    let waited = asked.elapsed();
    assert!(waited > LEASE - Duration::from_millis(500) && waited < LEASE + Duration::from_secs(1), "{waited:?}");
    let (propagation, took) = rotating(&operator, &tenant).await.expect("no panic");
    assert!(counted(&propagation) == (0, 0) && took < AT_ONCE, "the lease is over: {propagation}");
}

#[tokio::test]
async fn a_gateway_that_acknowledges_nothing_gets_no_further_lease_and_is_not_waited_for() {
    let service = Service::leasing(sqlite(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Silent"})).await;
    let mut silent = Gateway::leased(&service, Uuid::new_v4()).await;
    silent.acknowledge().await;
    // It asks on and on, and what it has seen stays what it was.
    let seen = silent.seen.clone();
    let rotation = rotating(&operator, &tenant);
    let begun = Instant::now();
    while silent.is_granted(seen.clone()).await {
        assert!(begun.elapsed() < LEASE * 3, "it is granted leases for ever");
        tokio::time::sleep(LEASE / 10).await;
    }
    let (_, waited) = rotation.await.expect("no panic");
    assert!(waited < LEASE + AT_ONCE, "{waited:?}");
    // Its last lease runs out. From then on no change waits for it, however often it asks.
    tokio::time::sleep(LEASE).await;
    assert!(!silent.is_granted(seen.clone()).await);
    let (propagation, waited) = rotating(&operator, &tenant).await.expect("no panic");
    assert!(counted(&propagation) == (0, 0) && waited < AT_ONCE, "{waited:?} {propagation}");
    // Once it acknowledges, it is a gateway like any other.
    assert!(!silent.is_granted(seen).await);
    silent.acknowledge().await;
    let granted = silent.hear().await.grant.expect("the asking that was refused is answered after all");
    assert_eq!(granted.id, silent.asked);
    silent.acknowledge().await;
    let seen = silent.seen.clone();
    assert!(silent.is_granted(seen).await, "and the next one");
}

#[tokio::test]
async fn a_gateway_that_comes_back_is_told_what_it_missed_or_to_start_over() {
    let service = Service::leasing(sqlite(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Missed"})).await;
    let id = Uuid::new_v4();
    let gone = Gateway::leased(&service, id).await;
    let seen = gone.seen.clone();
    drop(gone);
    let rotation = rotating(&operator, &tenant);
    let mut back = Gateway::watching(&service, id).await;
    back.seen = seen.clone();
    // Told by the answer, or by a push right after it: in either case before it can say that it has applied it.
    let mut told = keys(&back.renew().await).expect("no start-over");
    while told.is_empty() {
        told = keys(&back.hear().await).expect("no start-over");
    }
    assert_eq!(told, [tenant.id]);
    back.acknowledge().await;
    let (propagation, took) = rotation.await.expect("no panic");
    assert!(counted(&propagation) == (1, 1) && took < AT_ONCE, "{propagation} {took:?}");
    for restored in [
        Position { revision: 1, mark: Uuid::new_v4().as_bytes().to_vec() },
        Position { revision: 1000, mark: Uuid::new_v4().as_bytes().to_vec() },
        Position { revision: 1, mark: vec![1, 2, 3] },
    ] {
        back.seen = Some(restored);
        assert_eq!(keys(&back.renew().await), None);
    }
}

#[tokio::test]
async fn a_caller_who_hangs_up_stops_nothing() {
    let service = Service::leasing(sqlite(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Hung up"})).await;
    let mut gateway = Gateway::leased(&service, Uuid::new_v4()).await;
    let rotation = rotating(&operator, &tenant);
    assert_eq!(keys(&gateway.hear().await), Some(vec![tenant.id.clone()]));
    rotation.abort();
    let _ = rotation.await;
    // Long enough for the service to notice that nobody waits for its answer.
    tokio::time::sleep(Duration::from_millis(50)).await;
    gateway.acknowledge().await;
    let deadline = Instant::now() + AT_ONCE;
    while !shown(&service).contains("propagation_wait_seconds_count 1") {
        assert!(Instant::now() < deadline, "nobody waited for the acknowledgement: {}", shown(&service));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = rotating(&operator, &tenant);
    assert_eq!(keys(&gateway.hear().await), Some(vec![tenant.id]));
    gateway.acknowledge().await;
    assert_eq!(counted(&again.await.expect("no panic").0), (1, 1));
}

#[tokio::test]
async fn a_change_at_one_replica_waits_for_the_gateways_of_another() {
    let database = postgres();
    let one = Service::leasing(database.shared(), LEASE).await;
    let other = Service::leasing(database, LEASE).await;
    let tenant = one.operator().provision(json!({"tenant_name": "Fleet"})).await;
    let (here, moving) = (Uuid::new_v4(), Uuid::new_v4());
    let mut here = Gateway::leased(&one, here).await;
    let moved_from = Gateway::leased(&one, moving).await;
    let mut there = Gateway::leased(&other, Uuid::new_v4()).await;
    // With its name it takes along what it says of itself: the lease it still has here needs no word here.
    let mut moved = Gateway::leased(&other, moving).await;
    drop(moved_from);
    for (at, expected) in [(&one, 3), (&other, 3)] {
        let rotation = rotating(&at.operator(), &tenant);
        for gateway in [&mut here, &mut there, &mut moved] {
            while keys(&gateway.hear().await) != Some(vec![tenant.id.clone()]) {}
        }
        here.acknowledge().await;
        there.acknowledge().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!rotation.is_finished(), "one has not acknowledged, at the other replica");
        moved.acknowledge().await;
        let (propagation, took) = rotation.await.expect("no panic");
        assert!(counted(&propagation) == (expected, expected) && took < AT_ONCE, "{propagation} {took:?}");
    }
    // A gateway that says nothing at the other replica is counted here.
    let rotation = rotating(&one.operator(), &tenant);
    while keys(&here.hear().await) != Some(vec![tenant.id.clone()]) {}
    here.acknowledge().await;
    moved.acknowledge().await;
    assert_eq!(counted(&rotation.await.expect("no panic").0), (3, 1));
    // A replica that stops leaves word how long its leases last: a change waits for those, and not for its registration.
    let asked = Instant::now();
    there.renew().await;
    tokio::time::sleep(LEASE * 2 / 3).await;
    other.stop().await;
    here.renew().await;
    let rotation = rotating(&one.operator(), &tenant);
    while keys(&here.hear().await) != Some(vec![tenant.id.clone()]) {}
    here.acknowledge().await;
    rotation.await.expect("no panic");
    let waited = asked.elapsed();
    assert!(waited > LEASE * 9 / 10 && waited < LEASE + Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn gateways_of_a_replica_that_has_stopped_are_heard_where_they_go() {
    let database = postgres();
    let one = Service::leasing(database.shared(), Duration::from_secs(20)).await;
    let other = Service::leasing(database, Duration::from_secs(20)).await;
    let tenant = one.operator().provision(json!({"tenant_name": "Restarted"})).await;
    let ids = [Uuid::new_v4(), Uuid::new_v4()];
    let there = [Gateway::leased(&other, ids[0]).await, Gateway::leased(&other, ids[1]).await];
    other.stop().await;
    let mut here = Vec::new();
    for (id, gone) in ids.into_iter().zip(there) {
        let mut gateway = Gateway::watching(&one, id).await;
        gateway.seen = gone.seen;
        gateway.renew().await;
        here.push(gateway);
    }
    let rotation = rotating(&one.operator(), &tenant);
    for gateway in &mut here {
        while keys(&gateway.hear().await) != Some(vec![tenant.id.clone()]) {}
    }
    here[0].acknowledge().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!rotation.is_finished(), "one of them has not acknowledged");
    here[1].acknowledge().await;
    let (propagation, took) = rotation.await.expect("no panic");
    assert!(counted(&propagation) == (2, 2) && took < AT_ONCE, "{propagation} {took:?}");
}

#[tokio::test]
async fn in_another_history_everybody_starts_over_and_nothing_said_before_counts() {
    let service = Service::leasing(postgres(), LEASE).await;
    let operator = service.operator();
    let tenant = operator.provision(json!({"tenant_name": "Lost"})).await;
    let mut gateway = Gateway::leased(&service, Uuid::new_v4()).await;
    let rotation = rotating(&operator, &tenant);
    assert_eq!(keys(&gateway.hear().await), Some(vec![tenant.id.clone()]));
    gateway.acknowledge().await;
    rotation.await.expect("no panic");
    // A standby takes over that never had the last commit: its next change takes the same revision.
    service.database.meddle(
        "DELETE FROM audit_log WHERE revision = (SELECT max(revision) FROM audit_log);
         UPDATE directory SET revision = revision - 1;",
    );
    assert_eq!(keys(&gateway.hear().await), None, "it is told without asking");
    let rotation = rotating(&operator, &tenant);
    assert_eq!(keys(&gateway.hear().await), Some(vec![tenant.id]));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!rotation.is_finished(), "what it acknowledged was another change under that number");
    gateway.acknowledge().await;
    let (propagation, took) = rotation.await.expect("no panic");
    assert!(counted(&propagation) == (1, 1) && took < AT_ONCE, "{propagation} {took:?}");
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_refused() {
    let service = Service::start(sqlite()).await;
    let mut client = TenantDirectoryClient::new(channel(&service).await);
    let hello = |gateway: Vec<u8>| Message::Hello(Hello { gateway, name: String::new() });
    let ask = Message::Ask(Ask { id: 1, seen: None });
    for first in [ask, hello(vec![1, 2]), hello(vec![0; 16])] {
        let requests = tokio_stream::iter([WatchRequest { message: Some(first.clone()) }]);
        let mut answers = client.watch(gateway(requests)).await.expect("a stream").into_inner();
        assert_eq!(answers.message().await.expect_err("refused").code(), Code::InvalidArgument, "{first:?}");
    }
    let silent = client.watch(gateway(tokio_stream::pending())).await.expect("a stream");
    assert_eq!(silent.into_inner().message().await.expect_err("refused").code(), Code::DeadlineExceeded);
    let stranger = client.watch(tonic::Request::new(tokio_stream::iter([]))).await.expect_err("refused");
    assert_eq!(stranger.code(), Code::Unauthenticated);
}
