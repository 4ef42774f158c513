//! A visitor's conversation through real processes: what is said arrives once, in order, and stops when it must.

use std::time::{Duration, Instant};

use e2e::{
    postgres::Postgres,
    signed::Tenant,
    visitor::{PAGE, Said, Visitor, begin_session, from_page},
    world::World,
};
use serde_json::{Value, json};
use wire::{
    signature::{BodyDigest, RelayKey, RelayedCall},
    time::now_unix_ms,
};

async fn tenant(world: &World) -> Tenant {
    world.operator().provision(json!({"tenant_name": "Shop", "allowed_origins": [PAGE]})).await
}

fn token(session: &Value) -> &str {
    session["visitor_token"].as_str().expect("a token")
}

async fn connect(world: &World, session: &Value) -> (Visitor, Value) {
    let mut visitor = Visitor::connect(world.relay, token(session)).await;
    let welcome = visitor.hear("welcome").await;
    (visitor, welcome)
}

/// A signed call of the tenant's backend.
async fn signed(world: &World, tenant: &Tenant, path: &str, body: Value) -> Value {
    let request =
        tenant.request(&reqwest::Client::new(), reqwest::Method::POST, &world.relay_url(path), body.to_string());
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json::<Value>().await.expect("JSON")["data"].clone()
}

fn contents(history: &Value) -> Vec<&str> {
    let messages = history.as_array().expect("a list").iter();
    messages.map(|message| message["content"].as_str().expect("text")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_asks_is_answered_and_goes_on_after_a_reload() {
    let world = World::start(&[]).await;
    let tenant = tenant(&world).await;
    let knowledge =
        json!({"title": "Orders", "body": "Track your order from the link in your e-mail.", "language": "en"});
    signed(&world, &tenant, "ingest/knowledge", knowledge).await;
    let session = begin_session(world.relay, &tenant).await;
    assert_eq!(session["widget_config"]["customization"]["position"], "bottom-right");

    let (mut visitor, welcome) = connect(&world, &session).await;
    assert_eq!((&welcome["status"], &welcome["history"]), (&json!("bot"), &json!([])));
    let client_id = visitor.ask("Where is my order?").await;
    visitor.hear("typing").await;
    let ack = visitor.hear("ack").await;
    assert_eq!(ack["client_id"], client_id);
    let answer = visitor.hear("message").await;
    assert_eq!(
        (&answer["message"]["role"], &answer["message"]["content"]),
        (&json!("bot"), &json!("Track your order from the link in your e-mail."))
    );
    assert!(answer["message"]["citations"].as_array().is_some_and(|citations| citations.len() == 1));
    assert_eq!(answer["message"]["citations"][0]["title"], "Orders");
    let answer_id = answer["message"]["id"].as_str().expect("an id").to_owned();
    visitor.say(&json!({"type": "read", "message_id": answer_id})).await;

    // The answer was lost on the way, so the browser says it again.
    visitor.say(&json!({"type": "message", "client_id": client_id, "content": "Where is my order?"})).await;
    visitor.hear("typing").await;
    assert_eq!(visitor.hear("ack").await["message_id"], ack["message_id"], "the same message");

    // A second tab, which is where it goes on.
    let (mut other_tab, welcome) = connect(&world, &session).await;
    assert_eq!(contents(&welcome["history"]), ["Where is my order?", "Track your order from the link in your e-mail."]);
    assert_eq!((&welcome["read_up_to"], &welcome["history"][0]["client_id"]), (&json!(answer_id), &json!(client_id)));
    other_tab.ask("Do you repair zeppelins?").await;
    for _ in 0..2 {
        other_tab.next().await;
    }
    let seen = visitor.hear("message").await;
    assert_eq!(
        (&seen["message"]["role"], &seen["message"]["content"]),
        (&json!("visitor"), &json!("Do you repair zeppelins?"))
    );
    assert_eq!(visitor.hear("status").await["status"], "waiting");
    let ticket = visitor.hear("message").await;
    assert_eq!(ticket["message"]["role"], "system");

    // Until somebody comes, the bot answers what it knows, and is silent to the rest: the status stays what it is.
    visitor.ask("And where is my order?").await;
    visitor.hear("ack").await;
    assert_eq!(visitor.hear("message").await["message"]["role"], "bot");
    visitor.ask("Do you repair airships?").await;
    visitor.hear("ack").await;

    // A person takes over, from the tenant's backend.
    let path = format!("add/message?conversation_id={}", welcome["conversation_id"].as_str().expect("an id"));
    signed(&world, &tenant, &path, json!({"role": "agent", "content": "Hello, this is Ada."})).await;
    assert_eq!(visitor.hear("status").await["status"], "assigned");
    assert_eq!(visitor.hear("message").await["message"]["content"], "Hello, this is Ada.");
    visitor.ask("Thank you!").await;
    visitor.hear("ack").await;
    // The bot keeps out of it: what comes next is what Ada says.
    signed(&world, &tenant, &path, json!({"role": "agent", "content": "You are welcome."})).await;
    assert_eq!(visitor.hear("message").await["message"]["content"], "You are welcome.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_delivered_in_order_and_nothing_twice() {
    let world = World::start(&[("GATEWAY_SOCKET_FRAMES_PER_MIN", "1000")]).await;
    let tenant = tenant(&world).await;
    let session = begin_session(world.relay, &tenant).await;
    let (mut visitor, welcome) = connect(&world, &session).await;
    let path = format!("add/message?conversation_id={}", welcome["conversation_id"].as_str().expect("an id"));
    signed(&world, &tenant, &path, json!({"role": "agent", "content": "0"})).await;
    visitor.hear("status").await;
    let known = visitor.hear("message").await["message"]["id"].clone();
    drop(visitor);
    for n in 1..=120 {
        said_by_agent(&world, &tenant, &path, n).await;
    }
    let (mut visitor, welcome) = connect(&world, &session).await;
    let history = contents(&welcome["history"]);
    assert_eq!((history.len(), history[0], history[49]), (50, "71", "120"), "the newest, oldest first");
    visitor.say(&json!({"type": "resume", "after": known})).await;
    for n in 1..=120 {
        assert_eq!(visitor.hear("message").await["message"]["content"], n.to_string());
    }
    // Asked for once more, there is nothing left to tell; nor of what came as it happened.
    visitor.say(&json!({"type": "resume", "after": known})).await;
    said_by_agent(&world, &tenant, &path, 121).await;
    assert_eq!(visitor.hear("message").await["message"]["content"], "121");
    visitor.say(&json!({"type": "resume", "after": known})).await;
    said_by_agent(&world, &tenant, &path, 122).await;
    assert_eq!(visitor.hear("message").await["message"]["content"], "122");
    visitor.say(&json!({"type": "resume", "after": "01920000-0000-7000-8000-000000000000"})).await;
    assert_eq!(visitor.hear("error").await["error_code"], "message_not_found");

    // Another visitor's conversation is not this one's to resume.
    let stranger = begin_session(world.relay, &tenant).await;
    let (mut stranger, welcome) = connect(&world, &stranger).await;
    assert_eq!(welcome["history"], json!([]));
    stranger.say(&json!({"type": "resume", "after": known})).await;
    assert_eq!(stranger.hear("error").await["error_code"], "message_not_found");
}

/// Everything said in a tenant's only conversation, as the chat backend has it.
async fn said_to_backend(world: &World, tenant: &Tenant) -> Vec<String> {
    let list = at_backend(world, tenant, "GET", "/fetch/conversations", "").await;
    let id = list["data"]["items"][0]["id"].as_str().expect("a conversation").to_owned();
    let messages = at_backend(world, tenant, "GET", &format!("/fetch/messages?conversation_id={id}"), "").await;
    contents(&messages["data"]["items"]).into_iter().map(str::to_owned).collect()
}

/// An agent's message, sent to the chat backend itself as the gateway would send it: it does not count against the tenant's rate.
async fn said_by_agent(world: &World, tenant: &Tenant, path: &str, n: usize) {
    let body = json!({"role": "agent", "content": n.to_string()}).to_string();
    at_backend(world, tenant, "POST", &format!("/{path}"), &body).await;
}

/// A call to the chat backend itself, signed as the gateway would sign it.
async fn at_backend(world: &World, tenant: &Tenant, method: &str, path: &str, body: &str) -> Value {
    let timestamp = now_unix_ms().to_string();
    let call =
        RelayedCall { timestamp: &timestamp, method, path_and_query: path, tenant_id: &tenant.id, actor: "tenant" };
    let key = RelayKey::new(e2e::world::RELAY_SECRET.as_bytes());
    let signature = key.sign(&call, &BodyDigest::of(body.as_bytes())).to_hex();
    let url = format!("http://{}{path}", world.backend_address);
    let request = reqwest::Client::new().request(method.parse().expect("a method"), url).body(body.to_owned());
    let request = request.header("x-relay-tenant-id", &tenant.id).header("x-relay-timestamp", &timestamp);
    let answer = request.header("x-relay-actor", "tenant").header("x-relay-signature", signature).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.expect("JSON")
}

/// What an agent sends may be long: the newest fit into the welcome, and the rest is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_is_welcomed_in_part() {
    let world = World::start(&[]).await;
    let tenant = tenant(&world).await;
    let session = begin_session(world.relay, &tenant).await;
    let (mut visitor, welcome) = connect(&world, &session).await;
    let path = format!("/add/message?conversation_id={}", welcome["conversation_id"].as_str().expect("an id"));
    let attachments = vec![
        json!({"type": "file", "mime": "text/plain", "size": 1, "url": format!("https://a.example/{}", "x".repeat(2000))});
        20
    ];
    let body = json!({"role": "system", "content": "a long one", "attachments": attachments}).to_string();
    let mut known = None;
    for _ in 0..40 {
        at_backend(&world, &tenant, "POST", &path, &body).await;
        let heard = visitor.hear("message").await;
        known.get_or_insert(heard["message"]["id"].clone());
    }
    let (mut visitor, welcome) = connect(&world, &session).await;
    let history = welcome["history"].as_array().expect("a list").len();
    assert!((1..40).contains(&history), "{history} of 40");
    visitor.say(&json!({"type": "resume", "after": known})).await;
    for _ in 1..40 {
        visitor.hear("message").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tabs_that_retry_at_once_say_it_once() {
    let world = World::start(&[]).await;
    let tenant = tenant(&world).await;
    let session = begin_session(world.relay, &tenant).await;
    let mut tabs = Vec::new();
    for _ in 0..6 {
        tabs.push(connect(&world, &session).await.0);
    }
    let frame = json!({"type": "message", "client_id": uuid::Uuid::new_v4().to_string(), "content": "only once"});
    for tab in &mut tabs {
        tab.say(&frame).await;
    }
    let mut ids = std::collections::HashSet::new();
    for tab in &mut tabs {
        loop {
            match tab.next().await {
                Said::Frame(frame) if frame["type"] == "ack" => {
                    ids.insert(frame["message_id"].as_str().expect("an id").to_owned());
                    break;
                }
                Said::Frame(_) => {}
                Said::Closed(code, _) => panic!("closed with {code}"),
            }
        }
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    let (_, welcome) = connect(&world, &session).await;
    let said = contents(&welcome["history"]).iter().filter(|content| **content == "only once").count();
    assert_eq!(said, 1);
    let answers = welcome["history"].as_array().expect("a list").len();
    assert_eq!(answers, 2, "and it was answered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_change_has_returned_no_socket_is_left_that_it_forbids() {
    let postgres = Postgres::start();
    let url = postgres.database("relay");
    let world = World::start(&[("ADMIN_DATABASE_URL", url.as_str())]).await;
    let operator = world.operator();
    for path in ["/suspend/tenant", "/rotate/widget-key", "/update/tenant"] {
        let tenant = tenant(&world).await;
        let session = begin_session(world.relay, &tenant).await;
        let (mut visitor, _) = connect(&world, &session).await;
        visitor.ask("in time").await;
        visitor.hear("typing").await;
        visitor.hear("ack").await;
        let before = said_to_backend(&world, &tenant).await;
        assert_eq!(before.len(), 2, "the question, and what it was answered");
        let body = (path == "/update/tenant").then(|| json!({"allowed_origins": []}));
        let (status, answer) = operator.call("POST", &format!("{path}?tenant_id={}", tenant.id), body).await;
        assert_eq!((status, &answer["data"]["propagation"]["acknowledged"]), (200, &json!(1)), "{answer}");
        let at = Instant::now();
        // If the client has not read the close, the message is sent and dropped. If it has, sending fails. Both are right.
        let _ = visitor
            .try_send(&json!({"type": "message", "client_id": uuid::Uuid::new_v4().to_string(), "content": "late"}))
            .await;
        assert_eq!(visitor.closed().await, 4403, "{path}");
        assert!(
            at.elapsed() < Duration::from_millis(200),
            "it was closed when the change returned: {:?}",
            at.elapsed()
        );
        assert_eq!(Visitor::connect(world.relay, token(&session)).await.closed().await, 4403, "{path}");
        assert_eq!(said_to_backend(&world, &tenant).await, before, "{path}: what was said after it reached nobody");
        let refresh = reqwest::Client::new()
            .post(format!("http://{}/api/v1/refresh/visitor-token", world.relay))
            .bearer_auth(token(&session));
        let refused = from_page(refresh, PAGE).send().await.expect("an answer").status().as_u16();
        assert!([401, 403].contains(&refused), "{path}: {refused}");
    }
    // An account key's revocation of a widget key, and the same key's other sessions.
    let tenant = tenant(&world).await;
    let key = operator
        .call(
            "POST",
            &format!("/create/account-key?tenant_id={}", tenant.id),
            Some(json!({"name": "n", "abilities": ["*"]})),
        )
        .await;
    let account = key.1["data"]["account_key"].as_str().expect("a key").to_owned();
    let developer = async |method: reqwest::Method, path: &str, body: Option<Value>| {
        let request = reqwest::Client::new().request(method, format!("http://{}/api/v1{path}", world.rest));
        let request = request.bearer_auth(&account);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.expect("an answer").json::<Value>().await.expect("JSON")["data"].clone()
    };
    let bot = developer(reqwest::Method::GET, "/bots", None).await["items"][0]["bot_id"].clone();
    let fields = json!({"bot_id": bot, "name": "Site", "allowed_domains": ["shop.demo.com"]});
    let made = developer(reqwest::Method::POST, "/widgets/keys", Some(fields)).await;
    let by_key = Tenant { widget_public_key: made["api_key"].as_str().expect("a key").to_owned(), ..tenant.clone() };
    let session = begin_session(world.relay, &by_key).await;
    let (mut visitor, _) = connect(&world, &session).await;
    let (mut own, _) = connect(&world, &begin_session(world.relay, &tenant).await).await;

    let look = json!({"bot_id": bot, "theme_color": "#AA0000"});
    developer(reqwest::Method::PUT, "/widgets/customization", Some(look)).await;
    assert_eq!(visitor.hear("config").await["widget_config"]["customization"]["theme_color"], "#AA0000");
    own.hear("config").await;
    developer(reqwest::Method::DELETE, &format!("/widgets/keys/{}", made["id"].as_str().expect("an id")), None).await;
    assert_eq!(visitor.closed().await, 4403);
    own.ask("still here").await;
    own.hear("typing").await;
    own.hear("ack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_sessions_end_has_returned_nothing_accepts_it() {
    let world = World::start(&[]).await;
    let tenant = tenant(&world).await;
    let (ended, other) = (begin_session(world.relay, &tenant).await, begin_session(world.relay, &tenant).await);
    let (mut visitor, _) = connect(&world, &ended).await;
    let (mut kept, _) = connect(&world, &other).await;
    let call = async |path: &str, token: &str| {
        let request = reqwest::Client::new().post(format!("http://{}/api/v1/{path}", world.relay)).bearer_auth(token);
        let answer = from_page(request, PAGE).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("an envelope"))
    };
    // Another token of the same session, in another tab.
    let (status, refreshed) = call("refresh/visitor-token", token(&ended)).await;
    assert_eq!(status, 200, "{refreshed}");
    let newer = token(&refreshed["data"]).to_owned();
    let (mut other_tab, _) = (Visitor::connect(world.relay, &newer).await, ());
    other_tab.hear("welcome").await;

    let (status, answer) = call("end/visitor-session", token(&ended)).await;
    assert_eq!((status, &answer["data"]["session_id"]), (200, &ended["session_id"]), "{answer}");
    let late = json!({"type": "message", "client_id": uuid::Uuid::new_v4(), "content": "late"});
    visitor.try_send(&late).await;
    assert_eq!([visitor.closed().await, other_tab.closed().await], [4401, 4401]);
    for token in [token(&ended), &newer] {
        assert_eq!(Visitor::connect(world.relay, token).await.closed().await, 4401);
        let (status, answer) = call("refresh/visitor-token", token).await;
        assert_eq!((status, &answer["error_code"]), (401, &json!("invalid_visitor_token")));
        assert_eq!(call("end/visitor-session", token).await.0, 200, "again");
    }
    kept.ask("still here").await;
    while kept.hear_any().await["type"] != "ack" {}
    let list = at_backend(&world, &tenant, "GET", "/fetch/conversations", "").await;
    let said = list.to_string();
    assert!(!said.contains("late"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_anything_behind_loses_nothing_that_was_said() {
    let mut world = World::start(&[]).await;
    let tenant = tenant(&world).await;
    let session = begin_session(world.relay, &tenant).await;
    let (mut visitor, _) = connect(&world, &session).await;
    let client_id = visitor.ask("before the crash").await;
    visitor.hear("typing").await;
    let id = visitor.hear("ack").await["message_id"].clone();
    world.crash_backend();
    assert_eq!(visitor.closed().await, 1013);
    let (mut visitor, welcome) = connect(&world, &session).await;
    assert_eq!(contents(&welcome["history"])[0], "before the crash");
    visitor.say(&json!({"type": "message", "client_id": client_id, "content": "before the crash"})).await;
    assert_eq!(visitor.hear("ack").await["message_id"], id);

    // The admin service away for less than a lease: who is connected goes on, and who comes waits for it.
    world.crash_admin();
    visitor.ask("meanwhile").await;
    visitor.hear("ack").await;
    let (_, welcome) = connect(&world, &session).await;
    assert!(contents(&welcome["history"]).contains(&"meanwhile"));
}
