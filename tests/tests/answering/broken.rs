//! A visitor and an operator talk through two gateways and two chat backends on one PostgreSQL, while links are cut and a chat backend is
//! killed: nothing is lost, nothing is doubled, nothing comes out of order.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    link::Link,
    operator::{Colleague, signed},
    postgres::Postgres,
    process::{PATIENCE, Process},
    scale,
    visitor::{PAGE, Said, Visitor, begin_session},
    world::{
        Operator, admin_environment, backend_environment, environment, gateway_environment, lasting_address,
        until_ready,
    },
};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Messages of each side in a run at full size.
const MESSAGES: usize = 1000;
/// How long a side thinks before each message, on average: faults must meet talks that go on.
const THINKS_MS: u64 = 80;

/// A gateway, its chat backend, and the link between the two.
struct Side {
    relay: SocketAddr,
    backend: Process,
    variables: HashMap<String, String>,
    link: Link,
    _gateway: Process,
}

impl Side {
    async fn start(database: &str, admin: &Process, data: &std::path::Path) -> Self {
        let mut variables = backend_environment(data);
        variables.insert("CHAT_BACKEND_LISTEN".to_owned(), lasting_address());
        variables.insert("CHAT_BACKEND_DATABASE_URL".to_owned(), database.to_owned());
        let backend = Process::start("chat-relay", &["backend"], &variables);
        let link = Link::to(backend.address("chat-backend")).await;
        let mut gateway_variables = gateway_environment(admin.address("admin-grpc"), link.address);
        gateway_variables.extend(environment(&[
            ("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000"),
            ("GATEWAY_SOCKET_FRAMES_PER_MIN", "100000000"),
            ("GATEWAY_SOCKET_PING_MS", "400"),
            ("GATEWAY_ACCESS_LOG", "false"),
        ]));
        let gateway = Process::start("relay-gateway", &[], &gateway_variables);
        let relay = gateway.address("gateway");
        until_ready(relay).await;
        Self { relay, backend, variables, link, _gateway: gateway }
    }

    fn crash(&mut self) {
        self.backend.kill();
        self.backend = Process::start("chat-relay", &["backend"], &self.variables);
        let _ = self.backend.address("chat-backend");
    }
}

/// What one side has heard: contents by message id.
type Heard = BTreeMap<String, String>;

/// How far both sides have come.
#[derive(Default)]
struct Progress {
    visitor: AtomicUsize,
    operator: AtomicUsize,
    /// Nothing more breaks.
    is_whole: AtomicBool,
}

/// Talks as a page's widget does: each message until it is acknowledged, and after a reconnect `resume`. Answers what was heard.
async fn visitor_talks(
    relay: SocketAddr,
    token: String,
    mut heard: Heard,
    count: usize,
    progress: Arc<Progress>,
) -> Heard {
    let ids: Vec<String> = (0..count).map(|_| Uuid::new_v4().to_string()).collect();
    let mut acknowledged = 0;
    let deadline = Instant::now() + PATIENCE * 2;
    while acknowledged < count || answers_of(&heard, "operator") < count {
        assert!(Instant::now() < deadline, "{acknowledged} acknowledged, {} heard", heard.len());
        let mut socket = Visitor::connect(relay, &token).await;
        let Ok(Said::Frame(welcome)) = timeout(Duration::from_secs(3), socket.next()).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let last = heard.keys().last().expect("the first message").clone();
        socket.try_send(&json!({"type": "resume", "after": last})).await;
        for message in welcome["history"].as_array().into_iter().flatten() {
            hear(&mut heard, message);
        }
        // On one socket ids only grow, but for what `resume` and the history repeat.
        let mut newest = heard.keys().last().cloned().unwrap_or_default();
        let mut is_asked = false;
        loop {
            if acknowledged < count && !is_asked {
                let frame = json!({"type": "message", "client_id": ids[acknowledged], "content": format!("visitor {acknowledged}")});
                think().await;
                if !socket.try_send(&frame).await {
                    break;
                }
                is_asked = true;
            }
            match timeout(Duration::from_millis(1500), socket.next()).await {
                Ok(Said::Frame(frame)) => match frame["type"].as_str() {
                    Some("ack") => {
                        assert_eq!(frame["client_id"], ids[acknowledged], "{frame}");
                        let id = frame["message_id"].as_str().expect("an id").to_owned();
                        heard.insert(id, format!("visitor {acknowledged}"));
                        acknowledged += 1;
                        progress.visitor.store(acknowledged, Ordering::Relaxed);
                        is_asked = false;
                    }
                    Some("message") => {
                        let id = frame["message"]["id"].as_str().expect("an id").to_owned();
                        let is_new = !heard.contains_key(&id);
                        assert!(
                            !is_new || id > newest || frame["message"]["role"] == "visitor",
                            "out of order: {frame}"
                        );
                        newest = newest.max(id);
                        hear(&mut heard, &frame["message"]);
                    }
                    Some("error") => {
                        sleep(Duration::from_millis(50)).await;
                        is_asked = false;
                    }
                    _ => {}
                },
                // Nothing is said while nothing is asked, where nothing is broken.
                Err(_) if Instant::now() < deadline && !is_asked && progress.is_whole.load(Ordering::Relaxed) => {}
                Err(_) | Ok(Said::Closed(..)) => break,
            }
            if acknowledged == count && answers_of(&heard, "operator") == count {
                break;
            }
        }
    }
    heard
}

async fn think() {
    sleep(Duration::from_millis(fastrand::u64(..2 * THINKS_MS))).await;
}

fn hear(heard: &mut Heard, message: &Value) {
    let (id, content) = (message["id"].as_str().expect("an id"), message["content"].as_str().expect("text"));
    if let Some(before) = heard.insert(id.to_owned(), content.to_owned()) {
        assert_eq!(before, content, "one id, one message");
    }
}

fn answers_of(heard: &Heard, who: &str) -> usize {
    heard.values().filter(|content| content.starts_with(who)).count()
}

/// Answers as the inbox does: each message under an id of its own, until the relay says that it is kept.
async fn operator_talks(operator: Colleague, conversation: String, count: usize, progress: Arc<Progress>) {
    let path = format!("add/message?conversation_id={conversation}");
    let deadline = Instant::now() + PATIENCE * 2;
    for number in 0..count {
        think().await;
        let body = json!({"content": format!("operator {number}"), "client_id": Uuid::new_v4()});
        loop {
            match timeout(Duration::from_secs(3), operator.try_call("POST", &path, Some(body.clone()))).await {
                Ok(Ok((201, _))) => break,
                Ok(Ok((502..=504, _)) | Err(_)) | Err(_) => sleep(Duration::from_millis(50)).await,
                Ok(Ok((status, answer))) => panic!("{status}: {answer}"),
            }
            assert!(Instant::now() < deadline, "message {number} does not arrive");
        }
        progress.operator.store(number + 1, Ordering::Relaxed);
    }
}

/// Watches as the inbox does: after each reconnect it reads what it may have missed. Answers what was heard, once all was said.
async fn operator_listens(operator: Colleague, conversation: String, total: usize, progress: Arc<Progress>) -> Heard {
    let mut heard = Heard::new();
    let deadline = Instant::now() + PATIENCE * 2;
    while heard.len() < total {
        assert!(Instant::now() < deadline, "{} of {total} heard", heard.len());
        let mut socket = operator.sit_down().await;
        socket.try_send(&json!({"type": "watch", "conversation_id": conversation})).await;
        let mut newest = String::new();
        loop {
            match timeout(Duration::from_millis(1500), socket.next()).await {
                Ok(Said::Frame(frame)) => match frame["type"].as_str() {
                    Some("watching") => {
                        frame["last_entry_id"].as_str().expect("an id").clone_into(&mut newest);
                        read_back(&operator, &conversation, &newest, &mut heard).await;
                    }
                    Some("message") => {
                        let id = frame["message"]["id"].as_str().expect("an id").to_owned();
                        assert!(id > newest, "out of order: {frame}");
                        newest = id;
                        hear(&mut heard, &frame["message"]);
                    }
                    _ => {}
                },
                Err(_) if Instant::now() < deadline && progress.is_whole.load(Ordering::Relaxed) => {}
                Err(_) | Ok(Said::Closed(..)) => break,
            }
            if heard.len() == total {
                break;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    heard
}

/// Reads pages backwards, from `newest` on, until one has nothing new.
async fn read_back(operator: &Colleague, conversation: &str, newest: &str, heard: &mut Heard) {
    let mut before = String::new();
    loop {
        let path = format!("fetch/messages?conversation_id={conversation}&limit=100{before}");
        // A page that does not come is asked for again after the next reconnect.
        let Ok(Ok((200, page))) = timeout(Duration::from_secs(3), operator.try_call("GET", &path, None)).await else {
            return;
        };
        let items = page["data"]["items"].as_array().expect("a list");
        let unknown = items.iter().filter(|item| !heard.contains_key(item["id"].as_str().expect("an id"))).count();
        for item in items.iter().filter(|item| item["id"].as_str().is_some_and(|id| id <= newest)) {
            hear(heard, item);
        }
        if unknown == 0 || page["data"]["complete"] == true {
            return;
        }
        before = format!("&before={}", items[0]["id"].as_str().expect("an id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_survives_cut_links_and_killed_backends_whole_and_in_order() {
    let count = scale::of(MESSAGES);
    let postgres = Postgres::start();
    let data = tempfile::tempdir().expect("a directory");
    let admin = Process::start("admin-service", &[], &admin_environment(&postgres.database("relay")));
    let database = postgres.database("chat");
    let mut one = Side::start(&database, &admin, data.path()).await;
    let mut other = Side::start(&database, &admin, data.path()).await;
    let client = Client::new();
    let fields = json!({"tenant_name": "Northwind", "allowed_origins": [PAGE], "rate_limit_per_min": 6_000_000});
    let tenant = Operator::at(admin.address("admin-rest")).provision(fields).await;
    let ada = Colleague::hire(&client, other.relay, &tenant, "ada").await;

    let session = begin_session(one.relay, &tenant).await;
    let token = session["visitor_token"].as_str().expect("a token").to_owned();
    let mut socket = Visitor::connect(one.relay, &token).await;
    let welcome = socket.hear("welcome").await;
    let conversation = welcome["conversation_id"].as_str().expect("an id").to_owned();
    assert_eq!(ada.act("claim", &conversation).await.0, 200);
    socket.ask("first").await;
    let first = loop {
        let frame = socket.hear_any().await;
        if frame["type"] == "ack" {
            break Heard::from([(frame["message_id"].as_str().expect("an id").to_owned(), "first".to_owned())]);
        }
    };
    drop(socket);

    let progress = Arc::new(Progress::default());
    let visitor = tokio::spawn(visitor_talks(one.relay, token, first, count, Arc::clone(&progress)));
    let listening =
        tokio::spawn(operator_listens(ada.clone(), conversation.clone(), 2 * count + 1, Arc::clone(&progress)));
    let talking = tokio::spawn(operator_talks(ada.clone(), conversation.clone(), count, Arc::clone(&progress)));
    // Faults come while both sides have something to say.
    let mut faults = 0;
    while progress.visitor.load(Ordering::Relaxed) < count * 9 / 10
        && progress.operator.load(Ordering::Relaxed) < count * 9 / 10
    {
        match faults % 4 {
            0 => {
                one.link.swallow();
                sleep(Duration::from_millis(1500)).await;
                one.link.mend();
            }
            1 => tokio::task::block_in_place(|| other.crash()),
            2 => {
                other.link.swallow();
                sleep(Duration::from_millis(1500)).await;
                other.link.mend();
            }
            _ => tokio::task::block_in_place(|| one.crash()),
        }
        faults += 1;
        sleep(Duration::from_millis(400)).await;
    }
    progress.is_whole.store(true, Ordering::Relaxed);
    talking.await.expect("no panic");
    let (by_visitor, by_operator) = (visitor.await.expect("no panic"), listening.await.expect("no panic"));
    eprintln!("{count} messages of each side over {faults} faults");
    assert!(faults >= 4, "each fault at least once: {faults}");

    // What is kept is what both have heard: each message once, each side's in the order in which it was said.
    let mut kept = Heard::new();
    let (status, page) = signed_page(&client, one.relay, &tenant, &conversation).await;
    assert_eq!(status, 200, "{page}");
    for message in page["data"]["items"].as_array().expect("a list") {
        hear(&mut kept, message);
    }
    for who in ["visitor", "operator"] {
        let said: Vec<&str> = kept.values().filter(|content| content.starts_with(who)).map(String::as_str).collect();
        let expected: Vec<String> = (0..count).map(|number| format!("{who} {number}")).collect();
        assert_eq!(said, expected);
    }
    assert_eq!((by_visitor, by_operator), (kept.clone(), kept));
    let (status, _) =
        signed(&client, one.relay, &tenant, "fetch/operator-token", json!({"email": "ada@northwind.example"})).await;
    assert_eq!(status, 200);
}

/// Every message that the chat backend has kept.
async fn signed_page(
    client: &Client,
    relay: SocketAddr,
    tenant: &e2e::signed::Tenant,
    conversation: &str,
) -> (u16, Value) {
    let mut items = Vec::new();
    loop {
        let url = format!(
            "http://{relay}/api/v1/relay/fetch/messages?conversation_id={conversation}&limit=500&offset={}",
            items.len()
        );
        let answer = tenant.request(client, reqwest::Method::GET, &url, "").send().await.expect("an answer");
        let (status, answer) = (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"));
        let Some(page) = answer["data"]["items"].as_array().filter(|page| !page.is_empty()) else {
            return (status, json!({"data": {"items": items}}));
        };
        items.extend(page.clone());
    }
}
