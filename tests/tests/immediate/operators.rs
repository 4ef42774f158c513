//! Operators' tokens and sockets: revoked, superseded by other routing keys or by a rotation, and shut out with their tenant.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{fleet::Fleet, postgres::Postgres, process::PATIENCE, scale, signed::Tenant, world::Operator as Admin};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use uuid::Uuid;

use crate::{
    faults::{LEASE, ROUNDS, Waits, break_everything, check_logs, end},
    seen::{Known, Seen},
};

/// Changes in a run at full size, of all operators together.
const MUTATIONS: usize = 2000;
const EMAIL: &str = "ada@northwind.example";

/// What is known of a tenant's only operator by the one who changes it.
#[derive(Debug, Default)]
struct Truth {
    secret: String,
    /// The newest token; none while there is none that is known to be good.
    token: Option<String>,
    /// Tokens that a change which has returned has put out of use.
    retired: Vec<String>,
    suspended: bool,
    revoked: bool,
    /// Moves before each change and after it.
    version: u64,
    /// A change is under way.
    unsettled: bool,
}

#[derive(Clone)]
struct Subject {
    tenant: Tenant,
    truth: Arc<Mutex<Truth>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Suspend,
    Reactivate,
    Revoke,
    /// `provision/operator` with other routing keys; it restores a revoked operator, too.
    Provision,
    /// A rotation that ends what was issued.
    Rotate,
}

impl Subject {
    fn truth(&self) -> std::sync::MutexGuard<'_, Truth> {
        self.truth.lock().expect("not poisoned")
    }

    /// A signed call of the tenant's backend, at whichever gateway answers, until it succeeds.
    async fn signed(&self, client: &Client, gateways: &[SocketAddr], path: &str, body: &Value) -> Value {
        let tenant = Tenant { secret: self.truth().secret.clone(), ..self.tenant.clone() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let gateway = gateways[fastrand::usize(..gateways.len())];
            let url = format!("http://{gateway}/api/v1/relay/{path}");
            let answer = tenant.request(client, Method::POST, &url, body.to_string()).send().await;
            if let Ok(answer) = answer {
                let status = answer.status().as_u16();
                match answer.json::<Value>().await {
                    Ok(answer) if matches!(status, 200 | 201) => return answer["data"].clone(),
                    Ok(answer) => assert_eq!(status, 503, "{path}: {answer}"),
                    Err(_) => {}
                }
            }
            assert!(Instant::now() < deadline, "{path} does not succeed");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// An operator's call of the REST facade, at whichever replica answers, until it succeeds.
    async fn administered(&self, admins: &[Admin], path: &str) -> Value {
        let path = format!("/{path}{}tenant_id={}", if path.contains('?') { '&' } else { '?' }, self.tenant.id);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match admins[fastrand::usize(..admins.len())].try_call("POST", &path, None).await {
                Ok((200, answer)) => return answer["data"].clone(),
                Ok((503, _)) | Err(_) => sleep(Duration::from_millis(20)).await,
                Ok((status, answer)) => panic!("{path} answered {status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "{path} does not succeed");
        }
    }

    fn next_change(&self) -> Change {
        let truth = self.truth();
        match (truth.suspended, truth.revoked) {
            (true, _) => Change::Reactivate,
            (false, true) => Change::Provision,
            (false, false) => {
                [Change::Suspend, Change::Revoke, Change::Provision, Change::Rotate][fastrand::usize(..4)]
            }
        }
    }

    /// Carries a change out, and notes what is true once it has returned.
    async fn change(&self, client: &Client, gateways: &[SocketAddr], admins: &[Admin]) {
        let change = self.next_change();
        {
            let mut truth = self.truth();
            truth.version += 1;
            truth.unsettled = true;
        }
        let key = format!("key-{}", fastrand::u64(..));
        let answer = match change {
            Change::Suspend => self.administered(admins, "suspend/tenant").await,
            Change::Reactivate => self.administered(admins, "reactivate/tenant").await,
            Change::Rotate => self.administered(admins, "rotate/tenant-secret?revoke_issued=true").await,
            Change::Revoke => self.signed(client, gateways, "revoke/operator", &json!({"email": EMAIL})).await,
            Change::Provision => {
                let body = json!({"email": EMAIL, "display_name": "Ada", "routing_keys": [key]});
                self.signed(client, gateways, "provision/operator", &body).await
            }
        };
        {
            let mut truth = self.truth();
            match change {
                Change::Suspend => truth.suspended = true,
                Change::Reactivate => truth.suspended = false,
                Change::Revoke => truth.revoked = true,
                Change::Provision => truth.revoked = false,
                Change::Rotate => {
                    answer["tenant_secret"].as_str().expect("a secret").clone_into(&mut truth.secret);
                }
            }
            if !matches!(change, Change::Suspend | Change::Reactivate) {
                let old = truth.token.take();
                truth.retired.extend(old);
            }
            truth.version += 1;
            truth.unsettled = false;
        }
        if matches!(change, Change::Provision | Change::Rotate) {
            self.take_token(client, gateways).await;
        }
    }

    async fn take_token(&self, client: &Client, gateways: &[SocketAddr]) {
        let issued = self.signed(client, gateways, "fetch/operator-token", &json!({"email": EMAIL})).await;
        self.truth().token = Some(issued["operator_token"].as_str().expect("a token").to_owned());
    }

    /// A token, and what is certain of it; `unchanged` is for later.
    fn pick(&self) -> Option<(String, Known, u64)> {
        let truth = self.truth();
        let retired = truth.retired.last().filter(|_| truth.token.is_none() || fastrand::bool());
        let token = retired.or(truth.token.as_ref())?.clone();
        let shut_out = truth.suspended || truth.revoked;
        Some((token, Known { retired: retired.is_some(), shut_out, unchanged: !truth.unsettled }, truth.version))
    }
}

/// Opens an operator's socket with a token: the status that says the same, and the socket where it is 200.
async fn open(gateway: SocketAddr, token: &str) -> Result<(u16, Option<WebSocketStream<TcpStream>>), String> {
    let opening = async {
        let mut request = format!("ws://{gateway}/api/v1/ws/operator").into_client_request().expect("a URL");
        let offered = format!("chat-relay.v1, bearer.{token}").parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", offered);
        let stream = TcpStream::connect(gateway).await.map_err(|error| error.to_string())?;
        let (mut socket, _) = client_async(request, stream).await.map_err(|error| error.to_string())?;
        match socket.next().await {
            Some(Ok(Message::Text(_))) => Ok((200, Some(socket))),
            Some(Ok(Message::Close(Some(frame)))) => match u16::from(frame.code) {
                4401 => Ok((401, None)),
                4403 => Ok((403, None)),
                // The relay could not check it, or was going away.
                1012 | 1013 => Ok((503, None)),
                code => panic!("{gateway} closed a socket with {code}: {}", frame.reason),
            },
            other => Err(format!("the socket said {other:?}")),
        }
    };
    timeout(LEASE * 3, opening).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}

/// One client of one gateway: calls, or opens a socket, with a token that is good or one that is retired.
async fn hammer(gateway: SocketAddr, subjects: Vec<Subject>, seen: Arc<Seen>, over: Arc<AtomicBool>) {
    let client = Client::builder().timeout(LEASE * 3).build().expect("a client");
    while !over.load(Ordering::Relaxed) {
        let subject = &subjects[fastrand::usize(..subjects.len())];
        if let Some((token, known, version)) = subject.pick() {
            let answer = if fastrand::u8(..4) == 0 {
                open(gateway, &token).await.map(|(status, _)| status)
            } else {
                let url = format!("http://{gateway}/api/v1/operator/fetch/conversations");
                match client.get(url).bearer_auth(&token).send().await {
                    Ok(answer) => Ok(answer.status().as_u16()),
                    Err(error) if error.is_timeout() => Err("no answer".to_owned()),
                    Err(error) => Err(format!("{error:?}")),
                }
            };
            let unchanged = known.unchanged && subject.truth().version == version;
            seen.judge(&format!("{gateway} {}", subject.tenant.id), Known { unchanged, ..known }, answer);
        }
        sleep(Duration::from_millis(3)).await;
    }
}

/// Frames that operators said, each under an id of its own.
#[derive(Debug, Default)]
struct Frames {
    /// Said with a token that was good.
    good: AtomicUsize,
    /// Said after a change had returned that put the token out of use: none of them may reach the chat backend.
    late: Mutex<HashSet<String>>,
}

/// An operator who keeps a socket open at one gateway for as long as the gateway lets it, and goes on to speak.
async fn sit(gateway: SocketAddr, subject: Subject, frames: Arc<Frames>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(20)).await;
        let Some(token) = subject.truth().token.clone() else { continue };
        let Ok((200, Some(mut socket))) = open(gateway, &token).await else { continue };
        while !over.load(Ordering::Relaxed) {
            let id = Uuid::new_v4().to_string();
            let is_late = subject.truth().retired.contains(&token);
            if is_late {
                frames.late.lock().expect("not poisoned").insert(id.clone());
            } else {
                frames.good.fetch_add(1, Ordering::Relaxed);
            }
            let frame = json!({"type": "typing", "conversation_id": id}).to_string();
            let sent = timeout(LEASE * 3, socket.send(Message::text(frame))).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            match timeout(Duration::from_millis(50), socket.next()).await {
                Err(_) | Ok(Some(Ok(Message::Text(_) | Message::Ping(_)))) => {}
                Ok(_) => break,
            }
        }
    }
}

async fn no_operator_outlives_a_change(postgres: Option<&Postgres>) {
    let url = postgres.map(|postgres| postgres.database("relay"));
    let lease = LEASE.as_millis().to_string();
    let extra = [
        ("ADMIN_LEASE_MS", lease.as_str()),
        ("ADMIN_ACCESS_LOG", "false"),
        ("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000"),
        ("GATEWAY_SOCKET_FRAMES_PER_MIN", "100000000"),
    ];
    let mut fleet = Fleet::start(url.as_deref(), 3, &extra).await;
    let gateways: Vec<SocketAddr> = fleet.gateways.iter().map(|gateway| gateway.relay).collect();
    let admins: Vec<Admin> = fleet.replicas.iter().map(e2e::fleet::Replica::operator).collect();
    let client = Client::builder().timeout(LEASE * 3).build().expect("a client");
    let mut subjects = Vec::new();
    for index in 0..4 {
        let fields = json!({"tenant_name": format!("Subject {index}"), "rate_limit_per_min": 6_000_000});
        let tenant = admins[0].provision(fields).await;
        let truth = Truth { secret: tenant.secret.clone(), ..Truth::default() };
        let subject = Subject { tenant, truth: Arc::new(Mutex::new(truth)) };
        let body = json!({"email": EMAIL, "display_name": "Ada"});
        subject.signed(&client, &gateways, "provision/operator", &body).await;
        subject.take_token(&client, &gateways).await;
        subjects.push(subject);
    }
    let (seen, frames, changes) =
        (Arc::new(Seen::default()), Arc::new(Frames::default()), Arc::new(AtomicUsize::new(0)));
    let (broken, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients: Vec<JoinHandle<()>> = Vec::new();
    for gateway in &gateways {
        for _ in 0..2 {
            clients.push(tokio::spawn(hammer(*gateway, subjects.clone(), Arc::clone(&seen), Arc::clone(&over))));
        }
        for subject in &subjects {
            clients.push(tokio::spawn(sit(*gateway, subject.clone(), Arc::clone(&frames), Arc::clone(&over))));
        }
    }
    let changers: Vec<JoinHandle<()>> = subjects
        .iter()
        .map(|subject| {
            let (subject, client, gateways, admins) =
                (subject.clone(), client.clone(), gateways.clone(), admins.clone());
            let (changes, broken) = (Arc::clone(&changes), Arc::clone(&broken));
            tokio::spawn(async move {
                while !broken.load(Ordering::Relaxed) || changes.load(Ordering::Relaxed) < scale::of(MUTATIONS) {
                    subject.change(&client, &gateways, &admins).await;
                    changes.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(fastrand::u64(..100))).await;
                }
            })
        })
        .collect();
    let faults = break_everything(&mut fleet, postgres, &Waits::default(), scale::of(ROUNDS)).await;
    end((&broken, changers), (&over, clients)).await;
    check_logs(&fleet);
    let heard = fleet.heard();
    let late = frames.late.lock().expect("not poisoned");
    let stale: Vec<_> = late.iter().filter(|id| heard.contains(*id)).collect();
    let good = frames.good.load(Ordering::Relaxed);
    eprintln!("faults: {faults:?}; {} changes", changes.load(Ordering::Relaxed));
    eprintln!(
        "{good} frames of good tokens, {} after the end of their token, of which {} were heard",
        late.len(),
        stale.len()
    );
    assert!(stale.is_empty(), "{stale:?}");
    assert!(heard.len() > 300 && good >= heard.len(), "{good} said, {} heard", heard.len());
    seen.check(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operator_outlives_a_change_on_sqlite() {
    no_operator_outlives_a_change(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_operator_outlives_a_change_on_postgres_with_two_replicas() {
    let postgres = Postgres::start();
    no_operator_outlives_a_change(Some(&postgres)).await;
}
