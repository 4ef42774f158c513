//! The services as separate processes: the main job, crashes, and an orderly end.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use e2e::{
    postgres::Postgres,
    process::{PATIENCE, Process},
    scale,
    visitor::{PAGE, Visitor, begin_session},
    world::{self, World, admin_environment, environment},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Waits until a condition holds, and fails where it never does.
async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_provisioned_tenant_signs_a_call_and_a_rotated_one_cannot() {
    // With every library as talkative as it can be: no level of logging may show a secret.
    let world = World::start(&[
        ("ADMIN_LOG_FILTER", "trace"),
        ("GATEWAY_LOG_FILTER", "trace"),
        ("CHAT_BACKEND_LOG_FILTER", "trace"),
    ])
    .await;
    let operator = world.operator();
    let tenant = operator.provision(json!({"tenant_name": "Main job"})).await;
    let client = reqwest::Client::new();
    let begin = |tenant: &e2e::signed::Tenant| {
        tenant
            .request(&client, Method::POST, &world.relay_url("create/conversation"), r#"{"visitor_user_id":"u"}"#)
            .send()
    };
    let answer = begin(&tenant).await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let begun: Value = answer.json().await.expect("JSON");
    assert_eq!(begun["data"]["tenant_id"], tenant.id);

    let (_, rotated) = operator.call("POST", &format!("/rotate/tenant-secret?tenant_id={}", tenant.id), None).await;
    assert_eq!(
        begin(&tenant).await.expect("an answer").status(),
        401,
        "the old secret is refused once rotate has returned"
    );
    let mut renewed = tenant.clone();
    renewed.secret = rotated["data"]["tenant_secret"].as_str().expect("a secret").to_owned();
    assert_eq!(begin(&renewed).await.expect("an answer").status(), 201);
    for (path, status) in [("suspend", 403), ("reactivate", 201)] {
        operator.call("POST", &format!("/{path}/tenant?tenant_id={}", tenant.id), None).await;
        assert_eq!(begin(&renewed).await.expect("an answer").status(), status, "{path}");
    }
    for process in [&world.admin, &world.backend, &world.gateway] {
        let log = process.log();
        for secret in [&tenant.secret, &renewed.secret, world::ADMIN_KEY, world::GRPC_TOKEN, world::RELAY_SECRET] {
            assert!(!log.contains(secret), "a secret is in a log");
        }
        for line in log.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_admin_service_is_killed() {
    let mut world = World::start(&[]).await;
    let operator = world.operator();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..3 {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (operator, acknowledged) = (operator.clone(), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    for index in 0.. {
                        let name = format!("Round {round} writer {writer} tenant {index}");
                        match operator.try_call("POST", "/provision/tenant", Some(json!({"tenant_name": name}))).await {
                            Ok((201, answer)) => {
                                acknowledged.lock().expect("not poisoned").push((name, answer["data"].clone()))
                            }
                            _ => break,
                        }
                    }
                })
            })
            .collect();
        let before = acknowledged.lock().expect("not poisoned").len();
        until(|| acknowledged.lock().expect("not poisoned").len() >= before + 20).await;
        world.crash_admin();
        for writer in writers {
            writer.await.expect("no panic");
        }
    }
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("not poisoned"));
    let client = reqwest::Client::new();
    for (name, data) in &acknowledged {
        let (status, read) = operator
            .call("GET", &format!("/fetch/tenant?tenant_id={}", data["tenant_id"].as_str().expect("an id")), None)
            .await;
        assert_eq!((status, &read["data"]["tenant_name"]), (200, &json!(name)));
    }
    // The secret of the last one was sealed whole, and every tenant that exists has its audit row: nothing is half-written.
    let last = e2e::signed::Tenant::from_provisioned(&acknowledged.last().expect("some").1);
    let answer =
        last.request(&client, Method::GET, &world.relay_url("fetch/tenant-info"), "").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let (_, page) = operator.call("GET", "/fetch/tenants?limit=1", None).await;
    let (total, mut audited, mut cursor) = (page["data"]["total"].as_u64().expect("a number"), 0, String::new());
    loop {
        let (_, log) = operator.call("GET", &format!("/fetch/audit-log?limit=500{cursor}"), None).await;
        audited += log["data"]["items"].as_array().expect("a list").len() as u64;
        match log["data"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(total, audited);
    assert!(total >= acknowledged.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_chat_backend_is_killed() {
    let mut world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Chatting", "rate_limit_per_min": 6_000_000})).await;
    let client = reqwest::Client::new();
    let begun: Value = tenant
        .request(
            &client,
            Method::POST,
            &world.relay_url("create/conversation"),
            r#"{"visitor_user_id":"u","locale":"en"}"#,
        )
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let conversation = begun["data"]["id"].as_str().expect("an id").to_owned();
    let (mut acknowledged, mut index) = (Vec::new(), 0);
    for _ in 0..3 {
        let url = world.relay_url(&format!("add/message?conversation_id={conversation}"));
        let (tenant, client, sent) = (tenant.clone(), client.clone(), Arc::new(Mutex::new(Vec::new())));
        let (recorded, first) = (Arc::clone(&sent), index);
        let writer = tokio::spawn(async move {
            for index in first.. {
                let content = format!("zeppelin {index}");
                let body = json!({"role": "visitor", "content": content}).to_string();
                match tenant.request(&client, Method::POST, &url, body).send().await {
                    Ok(answer) if answer.status() == 201 => recorded.lock().expect("not poisoned").push(content),
                    _ => return index + 1,
                }
            }
            first
        });
        until(|| sent.lock().expect("not poisoned").len() >= 15).await;
        world.crash_backend();
        index = writer.await.expect("no panic");
        acknowledged.append(&mut sent.lock().expect("not poisoned"));
    }
    let url = world.relay_url(&format!("fetch/messages?conversation_id={conversation}&limit=500"));
    let read: Value =
        tenant.request(&client, Method::GET, &url, "").send().await.expect("an answer").json().await.expect("JSON");
    let messages = read["data"]["items"].as_array().expect("a list");
    let count = |content: &str| messages.iter().filter(|message| message["content"] == content).count();
    for content in &acknowledged {
        assert_eq!(count(content), 1, "{content}");
    }
    let tickets: Value = tenant
        .request(&client, Method::GET, &world.relay_url("fetch/tickets"), "")
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(tickets["data"]["items"].as_array().map(Vec::len), Some(1), "the hand-over happened once and whole");
}

#[tokio::test]
async fn a_gateway_that_was_killed_comes_back_without_a_trace() {
    let mut world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Kept"})).await;
    world.gateway.kill();
    let mut variables = world::gateway_environment(world.grpc, world.backend_address);
    variables.insert("GATEWAY_LISTEN".to_owned(), world.relay.to_string());
    world.gateway = Process::start("relay-gateway", &[], &variables);
    assert_eq!(world.gateway.address("gateway"), world.relay);
    let answer = tenant
        .request(&reqwest::Client::new(), Method::GET, &world.relay_url("fetch/tenant-info"), "")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn sigterm_ends_every_process_in_good_order() {
    let mut world = World::start(&[]).await;
    for process in [&mut world.gateway, &mut world.backend, &mut world.admin] {
        process.terminate();
        let status = process.wait();
        assert!(status.success(), "{status}: {}", process.log());
    }
    let left: Vec<_> = std::fs::read_dir(world.data())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("utf-8"))
        .collect();
    assert!(!left.iter().any(|name| name.ends_with("-wal")), "the write-ahead log was folded in: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_on_one_postgres_are_one_service() {
    let postgres = Postgres::start();
    let variables = admin_environment(&postgres.database("relay"));
    let replicas: Vec<_> = (0..3).map(|_| Process::start("admin-service", &[], &variables)).collect();
    let operators: Vec<_> = replicas.iter().map(|replica| world::Operator::at(replica.address("admin-rest"))).collect();
    let tenant = operators[0].provision(json!({"tenant_name": "Shared"})).await;
    let path = format!("tenant?tenant_id={}", tenant.id);
    assert_eq!(operators[1].call("POST", &format!("/suspend/{path}"), None).await.0, 200);
    let (status, read) = operators[2].call("GET", &format!("/fetch/{path}"), None).await;
    assert_eq!((status, &read["data"]["status"]), (200, &json!("suspended")));
    // Changes of one tenant at all replicas at once: each is whole, and the log ends with what is true.
    let (suspend, reactivate, update) =
        (format!("/suspend/{path}"), format!("/reactivate/{path}"), format!("/update/{path}"));
    for round in 0..scale::of(100) {
        let (one, two, three) = tokio::join!(
            operators[0].call("POST", &suspend, None),
            operators[1].call("POST", &reactivate, None),
            operators[2].call("POST", &update, Some(json!({"agent_seats": round})))
        );
        assert_eq!((one.0, two.0, three.0), (200, 200, 200));
        let (_, read) = operators[0].call("GET", &format!("/fetch/{path}"), None).await;
        assert_eq!(read["data"]["agent_seats"], round);
        let (_, log) =
            operators[1].call("GET", &format!("/fetch/audit-log?tenant_id={}&limit=3", tenant.id), None).await;
        let last = log["data"]["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["action"].as_str().expect("text"))
            .find(|action| *action != "update_tenant");
        let expected = if read["data"]["status"] == "suspended" { "suspend_tenant" } else { "reactivate_tenant" };
        assert_eq!(last, Some(expected), "{log}");
    }
    let mut keys = HashSet::new();
    for replica in &replicas {
        let url = format!("http://{}/.well-known/jwks.json", replica.address("admin-rest"));
        keys.insert(reqwest::get(url).await.expect("an answer").text().await.expect("text"));
    }
    assert_eq!(keys.len(), 1, "tokens of one replica verify at all");
}

#[tokio::test]
async fn a_wrong_configuration_is_told_whole_and_ends_with_64() {
    for (binary, variables, expected) in [
        (
            "admin-service",
            environment(&[("ADMIN_API_KEY", "fifteen-letters"), ("ADMIN_REST_LISTEN", "x")]),
            ["at least 16 characters", "ADMIN_MASTER_KEYS", "rest_listen"],
        ),
        (
            "relay-gateway",
            environment(&[("GATEWAY_CHAT_BACKEND_URL", "x")]),
            ["GATEWAY_ADMIN_GRPC_TOKEN", "GATEWAY_RELAY_SECRET", "chat_backend_url"],
        ),
        (
            "chat-relay",
            environment(&[("ADMIN_API_KEY", "short"), ("CHAT_RELAY_LISTEN", "x")]),
            ["at least 16 characters", "listen", "problem"],
        ),
    ] {
        let mut process = Process::start(binary, &[], &variables);
        let status = process.wait();
        // The log is read by another thread: its end is waited for.
        let _ = process.wait_for_line(|_| None::<()>);
        assert_eq!(status.code(), Some(64), "{binary}: {}", process.log());
        for text in expected {
            assert!(process.log().contains(text), "{binary} says {text}: {}", process.log());
        }
        assert!(!process.log().contains("fifteen-letters"));
    }
}

#[tokio::test]
async fn metrics_name_routes_and_outcomes_and_no_tenant() {
    let world = World::start(&[("GATEWAY_OPS_LISTEN", "127.0.0.1:0"), ("ADMIN_OPS_LISTEN", "127.0.0.1:0")]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Measured"})).await;
    let client = reqwest::Client::new();
    tenant.request(&client, Method::GET, &world.relay_url("fetch/tenant-info"), "").send().await.expect("an answer");
    client.get(world.relay_url("fetch/tenant-info")).send().await.expect("an answer");
    let shown = async |process: &Process, server: &str| {
        let url = format!("http://{}/metrics", process.address(server));
        client.get(url).send().await.expect("an answer").text().await.expect("text")
    };
    let (gateway, admin) = (shown(&world.gateway, "gateway-ops").await, shown(&world.admin, "admin-ops").await);
    for (text, expected) in [
        (
            &gateway,
            "http_server_request_duration_seconds_count{server=\"relay-gateway\",http_request_method=\"GET\",http_route=\"/api/v1/relay/{*rest}\",http_response_status_code=\"200\"} 1",
        ),
        (&gateway, "relay_refusals_total{reason=\"missing_signature_headers\"} 1"),
        (
            &gateway,
            "rpc_client_call_duration_seconds_count{rpc_method=\"chatrelay.directory.v1.TenantDirectory/GetTenant\",outcome=\"ok\"} 1",
        ),
        (&admin, "http_route=\"/api/v1/provision/tenant\",http_response_status_code=\"201\"} 1"),
        (
            &admin,
            "rpc_server_call_duration_seconds_count{rpc_method=\"chatrelay.directory.v1.TenantDirectory/GetTenant\",rpc_response_status_code=\"0\"} 1",
        ),
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(!gateway.contains(&tenant.id) && !admin.contains(&tenant.id));
}

#[tokio::test]
async fn an_admin_service_killed_in_its_first_start_starts_again() {
    for pause_ms in [0, 2, 4, 6, 8, 10, 12, 15, 20, 30] {
        let data = tempfile::tempdir().expect("a directory");
        let variables = admin_environment(&format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display()));
        let mut first = Process::start("admin-service", &[], &variables);
        // Not waiting for anything: wherever in its first start this meets it is the test.
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        first.kill();
        let again = Process::start("admin-service", &[], &variables);
        let operator = world::Operator::at(again.address("admin-rest"));
        operator.provision(json!({"tenant_name": "After all"})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_503_and_nothing_is_confirmed() {
    let postgres = Postgres::start();
    let admin = Process::start("admin-service", &[], &admin_environment(&postgres.database("relay")));
    let operator = world::Operator::at(admin.address("admin-rest"));
    let tenant = operator.provision(json!({"tenant_name": "Before"})).await;
    drop(postgres);
    for (method, path, body) in [
        ("GET", format!("/fetch/tenant?tenant_id={}", tenant.id), None),
        ("POST", "/provision/tenant".to_owned(), Some(json!({"tenant_name": "Meanwhile"}))),
        ("POST", format!("/rotate/tenant-secret?tenant_id={}", tenant.id), None),
    ] {
        let (status, answer) = operator.call(method, &path, body).await;
        assert_eq!((status, &answer["error_code"]), (503, &json!("store_unavailable")), "{path}: {answer}");
    }
    let asked = Instant::now();
    let ready = reqwest::get(format!("http://{}/readyz", admin.address("admin-rest"))).await.expect("an answer");
    assert!(asked.elapsed() < Duration::from_secs(1), "a probe gives up after a second: {:?}", asked.elapsed());
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.expect("text").starts_with("database: "));
}

#[tokio::test]
async fn a_start_says_which_database_it_opened_and_which_migrations_ran() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("admin.db");
    let variables = admin_environment(&format!("sqlite://{}?mode=rwc", path.display()));
    let log = |process: &Process| {
        let _ = process.address("admin-rest");
        process.log()
    };
    let first = Process::start("admin-service", &[], &variables);
    let said = log(&first);
    assert!(said.contains(&format!("SQLite at {}", path.display())), "{said}");
    assert!(said.contains("m0001_initial") && said.contains("migrations ran"), "{said}");
    drop(first);
    let said = log(&Process::start("admin-service", &[], &variables));
    assert!(said.contains("no migration ran") && !said.contains("m0001_initial"), "{said}");
}

#[tokio::test]
async fn a_database_or_a_port_that_cannot_be_had_is_named_with_its_setting_at_once() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("an address");
    let directory = tempfile::tempdir().expect("a directory");
    let mut taken = admin_environment(&format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display()));
    taken.insert("ADMIN_GRPC_LISTEN".to_owned(), address.to_string());
    let data = tempfile::tempdir().expect("a directory");
    let mut standalone = world::standalone_environment(data.path());
    standalone.insert("CHAT_RELAY_ADMIN_LISTEN".to_owned(), address.to_string());
    let mut ended = Vec::new();
    for (binary, variables) in [("admin-service", &taken), ("chat-relay", &standalone)] {
        let mut process = Process::start(binary, &[], variables);
        assert_eq!(process.wait().code(), Some(1));
        let _ = process.wait_for_line(|_| None::<()>);
        ended.push(process.log());
    }
    assert!(ended[0].contains(&format!("grpc_listen = {address}: address in use")), "{}", ended[0]);
    assert!(ended[1].contains(&format!(" admin_listen = {address}: address in use")), "{}", ended[1]);
    drop(free);
    let away = admin_environment(&format!("postgres://relay:hush-hush@{address}/relay"));
    let started = Instant::now();
    let mut process = Process::start("admin-service", &[], &away);
    assert_eq!(process.wait().code(), Some(1));
    let _ = process.wait_for_line(|_| None::<()>);
    assert!(process.log().contains("connection refused"), "{}", process.log());
    assert!(!process.log().contains("hush-hush"), "{}", process.log());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_too_long_is_given_up() {
    let postgres = Postgres::start();
    let mut variables = admin_environment(&postgres.database("relay"));
    variables.insert("ADMIN_DATABASE_STATEMENT_TIMEOUT_MS".to_owned(), "300".to_owned());
    let admin = Process::start("admin-service", &[], &variables);
    let operator = world::Operator::at(admin.address("admin-rest"));
    let tenant = operator.provision(json!({"tenant_name": "Before"})).await;
    // Somebody holds the row that every change needs.
    let mut holder = postgres.session("relay", "BEGIN; UPDATE directory SET revision = revision; SELECT pg_sleep(600)");
    let suspend = format!("/suspend/tenant?tenant_id={}", tenant.id);
    let deadline = Instant::now() + PATIENCE;
    let (waited, answer) = loop {
        let started = Instant::now();
        let (status, answer) = operator.call("POST", &suspend, None).await;
        match status {
            // The session had not taken the row yet.
            200 => assert!(Instant::now() < deadline, "the row was never held"),
            _ => break (started.elapsed(), (status, answer["error_code"].clone())),
        }
    };
    assert_eq!(answer, (503, json!("store_unavailable")));
    assert!(waited < Duration::from_secs(5), "given up after {waited:?}");
    let (status, _) = operator.call("GET", &format!("/fetch/tenant?tenant_id={}", tenant.id), None).await;
    assert_eq!(status, 200, "reading needs no row of anybody's");
    // The server ends the session: it would not notice before its sleep is over that its client has gone.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN;%pg_sleep%'";
    postgres.session("relay", end).wait().expect("ended");
    holder.wait().expect("gone");
    until_status(&operator, &suspend, 200).await;
}

/// Repeats a call until it is answered so: what stood in its way is gone, but the database may not have noticed yet.
async fn until_status(operator: &world::Operator, path: &str, expected: u16) {
    let deadline = Instant::now() + PATIENCE;
    while operator.call("POST", path, None).await.0 != expected {
        assert!(Instant::now() < deadline, "{path} is never answered with {expected}");
    }
}

/// Idle connections fill what they may, and no more: calls still find a descriptor for the backend, and the log stays short.
#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_are_enough_for_those_who_call() {
    let world = World::start(&[]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Few", "rate_limit_per_min": 6000})).await;
    let mut environment = e2e::world::gateway_environment(world.grpc, world.backend_address);
    environment.insert("GATEWAY_ACCESS_LOG".to_owned(), "false".to_owned());
    let gateway = Process::start_within("-n 256", "relay-gateway", &[], &environment);
    let relay = gateway.address("gateway");
    e2e::world::until_ready(relay).await;
    let mut idle = Vec::new();
    for n in 0..300_u32 {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 1, u8::try_from(n % 2 + 1).expect("small")], 0).into()).expect("bound");
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(500), socket.connect(relay)).await {
            idle.push(stream);
        }
    }
    let url = format!("http://{relay}/api/v1/relay/fetch/conversations");
    for _ in 0..20 {
        let request = tenant.request(&reqwest::Client::new(), reqwest::Method::GET, &url, "");
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }
    let log = gateway.log();
    assert!(log.contains("were lowered to what the limit of descriptors allows"), "{log}");
    assert!(log.lines().count() < 20, "{log}");
    drop(idle);
}

/// Lines of a gateway's log that say that its signature is refused.
fn refusals_logged(gateway: &Process) -> usize {
    let is_refusal = |line: &&str| line.contains("refuses this gateway's signature") && line.contains("\"ERROR\"");
    gateway.log().lines().filter(is_refusal).count()
}

fn wait_for(gateway: &Process, text: &str) {
    let found = gateway.wait_for_line(|line| line.contains(text).then_some(()));
    assert!(found.is_some(), "{text:?} is not in the log:\n{}", gateway.log());
}

#[test]
fn an_admin_service_that_is_reached_unencrypted_over_a_network_is_warned_of() {
    let mut variables = world::gateway_environment(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 1).into());
    let silent = Process::start("relay-gateway", &[], &variables);
    let _ = silent.address("gateway");
    assert!(!silent.log().contains("leaves this machine"), "{}", silent.log());
    // A documentation address, which nobody has.
    let urls = "http://127.0.0.1:1,http://192.0.2.1:7813";
    variables.insert("GATEWAY_ADMIN_GRPC".to_owned(), urls.to_owned());
    let warned = Process::start("relay-gateway", &[], &variables);
    let _ = warned.address("gateway");
    let (log, mut lines) = (warned.log(), 0);
    for line in log.lines().filter(|line| line.contains("leaves this machine")) {
        assert!(line.contains("WARN") && line.contains("http://192.0.2.1:7813"), "{line}");
        lines += 1;
    }
    assert_eq!(lines, 1, "{log}");
}

#[tokio::test]
async fn a_wrong_relay_secret_is_logged_at_start_and_never_told_to_a_tenant_as_its_own_401() {
    let mut world = World::start(&[("CHAT_BACKEND_RELAY_SECRET", "not-the-gateways-relay-secret")]).await;
    // Before anybody has called.
    wait_for(&world.gateway, "refuses this gateway's signature");
    let fields = json!({"tenant_name": "Refused", "allowed_origins": [PAGE]});
    let tenant = world.operator().provision(fields).await;
    let client = reqwest::Client::new();
    let url = world.relay_url("create/conversation");
    let begin = async |visitor: &str| {
        let body = json!({"visitor_user_id": visitor}).to_string();
        let call = tenant.request(&client, Method::POST, &url, body);
        let answer: Value = call.send().await.expect("an answer").json().await.expect("an envelope");
        (answer["status_code"].clone(), answer["error_code"].clone())
    };
    for visitor in ["u1", "u2", "u3"] {
        assert_eq!(begin(visitor).await, (json!(502), json!("backend_refused_relay")));
    }
    let session = begin_session(world.relay, &tenant).await;
    let token = session["visitor_token"].as_str().expect("a token");
    assert_eq!(Visitor::connect(world.relay, token).await.closed().await, 1013);
    assert_eq!(refusals_logged(&world.gateway), 1, "once, not with each call:\n{}", world.gateway.log());

    // The backend comes back with the right one.
    world.backend_variables.insert("CHAT_BACKEND_RELAY_SECRET".to_owned(), world::RELAY_SECRET.to_owned());
    world.crash_backend();
    let deadline = Instant::now() + PATIENCE;
    while begin("u4").await.0 != json!(201) {
        assert!(Instant::now() < deadline, "calls are still refused:\n{}", world.gateway.log());
    }
    wait_for(&world.gateway, "accepts this gateway's signature again");
}

#[tokio::test]
async fn a_backend_that_comes_later_is_checked_when_it_comes() {
    let mut world = World::start(&[]).await;
    wait_for(&world.gateway, "accepts this gateway's signature");
    // At another service's address: it answers, and has verified nothing.
    let astray = Process::start("relay-gateway", &[], &world::gateway_environment(world.grpc, world.rest));
    wait_for(&astray, "it answered 404");
    assert!(!astray.log().contains("accepts this gateway's signature"), "{}", astray.log());
    drop(astray);
    world.backend.kill();
    let variables = world::gateway_environment(world.grpc, world.backend_address);
    let early = Process::start("relay-gateway", &[], &variables);
    world::until_ready(early.address("gateway")).await;
    wait_for(&early, "cannot be reached");
    world.crash_backend();
    wait_for(&early, "accepts this gateway's signature");
    assert_eq!(refusals_logged(&early), 0);
}
