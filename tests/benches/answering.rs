//! How soon people who answer see what visitors write: from a visitor's frame to the operators' screens (their sockets), with so many
//! conversations live and so many operators connected; how long a claim takes; and what so many operators' sockets cost the gateway.
//! `cargo build --profile dist --workspace --bins && cargo bench --profile dist -p e2e --bench answering [-- RUNS]`.

use std::time::{Duration, Instant};

use e2e::{
    operator::Colleague,
    percentile::percentile,
    postgres::Postgres,
    signed::Tenant,
    visitor::{PAGE, Said, Visitor, open_many},
    world::World,
};
use reqwest::Client;
use serde_json::json;
use tokio::sync::mpsc;
use uuid::Uuid;

const CONVERSATIONS: usize = 1000;
const OPERATORS: usize = 50;
/// Messages of a run, one after the other at this pace.
const MESSAGES: usize = 1000;
const EVERY: Duration = Duration::from_millis(10);
const CLAIMS: usize = 500;
/// Operators' sockets of the last part.
const SOCKETS: usize = 2000;
const TO_EVERYBODY: &str = "Is everybody there?";

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(7);
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let postgres = Postgres::start();
        for database in ["SQLite", "PostgreSQL"] {
            let url = (database == "PostgreSQL").then(|| postgres.database("chat"));
            measure(database, url.as_deref(), runs).await;
        }
    });
}

/// A message that has reached the socket of the operator who watches its conversation.
struct Seen {
    content: String,
    at: Instant,
}

async fn measure(database: &str, url: Option<&str>, runs: usize) {
    let mut extra = vec![
        ("ADMIN_ACCESS_LOG", "false"),
        ("CHAT_BACKEND_ACCESS_LOG", "false"),
        ("GATEWAY_LOG_FILTER", "warn,relay_gateway::server=info"),
        ("GATEWAY_SESSIONS_PER_MIN", "1000000"),
        ("GATEWAY_UNVERIFIED_PER_MIN", "1000000"),
        ("GATEWAY_OPERATOR_CALLS_PER_MIN", "100000000"),
        ("GATEWAY_SOCKET_FRAMES_PER_MIN", "1000000"),
        ("GATEWAY_MAX_SOCKETS_PER_SESSION", "1000"),
        ("GATEWAY_MAX_SOCKETS_PER_ADDRESS", "4000"),
    ];
    if let Some(url) = url {
        extra.push(("CHAT_BACKEND_DATABASE_URL", url));
    }
    let world = World::start(&extra).await;
    let client = Client::new();
    let tenant = world.measured_tenant(PAGE).await;
    let mut operators = Vec::new();
    for number in 0..OPERATORS {
        operators.push(Colleague::hire(&client, world.relay, &tenant, &format!("operator-{number}")).await);
    }
    let mut visitors = live(&world, &tenant).await;
    // Each operator has the conversations whose number is its own, and watches the first of them.
    for (index, (_, conversation)) in visitors.iter().enumerate() {
        let (status, answer) = operators[index % OPERATORS].act("claim", conversation).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (told, mut seen) = mpsc::unbounded_channel();
    for (index, operator) in operators.iter().enumerate() {
        let mut screen = operator.sit_down().await;
        screen.say(&json!({"type": "watch", "conversation_id": visitors[index].1})).await;
        let told = told.clone();
        tokio::spawn(async move {
            while let Said::Frame(frame) = screen.next_ever().await {
                if frame["type"] == "message" {
                    let content = frame["message"]["content"].as_str().expect("text").to_owned();
                    let _ = told.send(Seen { content, at: Instant::now() });
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;

    let mut percentiles = Vec::new();
    for _ in 0..runs {
        let mut waits = Vec::with_capacity(MESSAGES);
        let mut pace = tokio::time::interval(EVERY);
        for number in 0..MESSAGES {
            pace.tick().await;
            let visitor = &mut visitors[number % OPERATORS].0;
            let content = Uuid::new_v4().to_string();
            let begun = Instant::now();
            visitor.ask(&content).await;
            let on_screen = loop {
                let Seen { content: shown, at } = seen.recv().await.expect("the screens stay");
                if shown == content {
                    break at;
                }
            };
            waits.push(on_screen - begun);
        }
        waits.sort_unstable();
        percentiles.push((percentile(&waits, 50), percentile(&waits, 99)));
    }
    report(&format!("{database}: a message on the operator's screen"), percentiles);

    let mut percentiles = Vec::new();
    for _ in 0..runs {
        let mut waits = Vec::with_capacity(CLAIMS);
        for number in 0..CLAIMS {
            let index = OPERATORS + number % (CONVERSATIONS - OPERATORS);
            let (operator, conversation) = (&operators[index % OPERATORS], &visitors[index].1);
            assert_eq!(operator.act("release", conversation).await.0, 200);
            let begun = Instant::now();
            let (status, answer) = operator.act("claim", conversation).await;
            waits.push(begun.elapsed());
            assert_eq!(status, 200, "{answer}");
        }
        waits.sort_unstable();
        percentiles.push((percentile(&waits, 50), percentile(&waits, 99)));
    }
    report(&format!("{database}: a claim"), percentiles);

    let resident = || (world.gateway.resident_bytes(), world.backend.resident_bytes());
    let (before, opening) = (resident(), Instant::now());
    let mut screens = Vec::with_capacity(SOCKETS);
    for number in 0..SOCKETS {
        let mut screen = operators[number % OPERATORS].sit_down().await;
        screen.hear("welcome").await;
        // It is read from the start, as a page reads its socket: pings are answered, and nothing piles up.
        screens.push(tokio::spawn(async move {
            loop {
                let Said::Frame(frame) = screen.next_ever().await else { panic!("screen {number} was closed") };
                if frame["type"] == "conversation" && frame.to_string().contains(TO_EVERYBODY) {
                    return Instant::now();
                }
            }
        }));
    }
    let (after, opened) = (resident(), opening.elapsed());
    let each = |before: u64, after: u64| after.saturating_sub(before) / SOCKETS as u64;
    println!(
        "{database}: {SOCKETS} operators' sockets opened in {opened:.1?}; {} bytes each at the gateway, {} at the reference backend",
        each(before.0, after.0),
        each(before.1, after.1),
    );
    // Everybody is told of everything: a visitor's message, to the last of two thousand screens.
    let (mut visitor, _) = open_many(world.relay, &tenant, 1).await.pop().expect("a visitor");
    let begun = Instant::now();
    visitor.ask(TO_EVERYBODY).await;
    let mut waits = Vec::with_capacity(SOCKETS);
    for screen in screens {
        waits.push(screen.await.expect("told") - begun);
    }
    waits.sort_unstable();
    println!(
        "{database}: a visitor's message, to {SOCKETS} lists: {:.1?} / {:.1?} (p50 / last)",
        percentile(&waits, 50),
        percentile(&waits, 100)
    );
}

/// Says the median over the runs of each percentile, and between what they lay.
fn report(what: &str, mut percentiles: Vec<(Duration, Duration)>) {
    let runs = percentiles.len();
    let mut line = String::new();
    for (name, of) in [("p50", 0), ("p99", 1)] {
        percentiles.sort_unstable_by_key(|pair| if of == 0 { pair.0 } else { pair.1 });
        let at = |percent| {
            let pair = percentile(&percentiles, percent);
            (if of == 0 { pair.0 } else { pair.1 }).as_secs_f64() * 1000.0
        };
        line.push_str(&format!("  {name} {:.1} ms ({:.1} to {:.1})", at(50), at(0), at(100)));
    }
    println!("{what}, {runs} runs:{line}");
}

/// Visitors who have each said something, with their conversations.
async fn live(world: &World, tenant: &Tenant) -> Vec<(Visitor, String)> {
    let mut live = Vec::with_capacity(CONVERSATIONS);
    for (mut visitor, welcome) in open_many(world.relay, tenant, CONVERSATIONS).await {
        visitor.ask("Do you repair zeppelins?").await;
        live.push((visitor, welcome["conversation_id"].as_str().expect("an id").to_owned()));
    }
    live
}
