//! The one-process deployment: what the first start makes, what it prints, and that a crash loses nothing.

use std::{collections::HashMap, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::{
    process::Process,
    signed::Tenant,
    visitor::{PAGE, Visitor, begin_session},
    world,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn start(data: &Path, without: &[&str]) -> (Process, SocketAddr) {
    let mut variables: HashMap<String, String> = world::standalone_environment(data);
    for name in without {
        variables.remove(*name);
    }
    let process = Process::start("chat-relay", &[], &variables);
    let relay = process.address("gateway");
    (process, relay)
}

#[tokio::test]
async fn the_first_start_makes_private_keys_and_prints_none() {
    let parent = tempfile::tempdir().expect("a directory");
    let data = parent.path().join("data");
    let (mut process, relay) = start(&data, &["ADMIN_API_KEY"]);
    world::until_ready(relay).await;
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let mut secrets = Vec::new();
    for name in ["admin.db", "chat-backend.db"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    for name in ["admin.key", "master.key", "relay.secret", "grpc.token"] {
        let path = data.join(name);
        assert_eq!(mode(&path), 0o600, "{name}");
        secrets.push(std::fs::read_to_string(path).expect("a key").trim().to_owned());
    }
    assert!(secrets[0].len() >= 32);
    let client = reqwest::Client::new();
    // One base URL for everything: the admin paths are exposed here.
    let answer = client
        .post(format!("http://{relay}/api/v1/provision/tenant"))
        .header("x-admin-key", &secrets[0])
        .json(&json!({"tenant_name": "First"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    let provisioned: Value = answer.json().await.expect("JSON");
    let tenant = Tenant::from_provisioned(&provisioned["data"]);

    process.kill();
    let (process, relay) = start(&data, &["ADMIN_API_KEY"]);
    let url = format!("http://{relay}/api/v1/relay/fetch/tenant-info");
    let answer = tenant.request(&client, Method::GET, &url, "").send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "a tenant outlives kill -9");
    let printed = format!("{}{}", process.stdout(), process.log());
    assert!(printed.contains(&data.join("admin.key").display().to_string()), "{printed}");
    for secret in secrets.iter().chain([&tenant.secret]) {
        assert!(!printed.contains(secret.trim_start_matches("k1:")), "a secret was printed");
    }
}

#[tokio::test]
async fn a_second_one_on_the_same_data_is_refused_and_says_why() {
    let data = tempfile::tempdir().expect("a directory");
    let (first, relay) = start(data.path(), &[]);
    let mut second = Process::start("chat-relay", &[], &world::standalone_environment(data.path()));
    assert_eq!(second.wait().code(), Some(1));
    assert!(
        second.wait_for_line(|line| line.contains("in use by another process").then_some(())).is_some(),
        "{}",
        second.log()
    );
    world::until_ready(relay).await;
    drop(first);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let data = tempfile::tempdir().expect("a directory");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut variables = world::standalone_environment(data.path());
    variables.insert("CHAT_RELAY_LISTEN".to_owned(), address.clone());
    let mut process = Process::start("chat-relay", &[], &variables);
    assert_eq!(process.wait().code(), Some(1));
    let expected = format!("listen = {address}: address in use: another process listens there");
    assert!(process.wait_for_line(|line| line.contains(&expected).then_some(())).is_some(), "{}", process.log());
}

#[tokio::test]
async fn a_chat_backend_of_ones_own_takes_the_embedded_ones_place() {
    let data = tempfile::tempdir().expect("a directory");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let backend = listener.local_addr().expect("an address");
    let answered = tokio::spawn(async move {
        let mut heads = Vec::new();
        // The gateway's own call at start, and the tenant's: each on a connection of its own.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("a call");
            let mut buffer = vec![0; 8192];
            let length = stream.read(&mut buffer).await.expect("a head");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer).await.expect("sent");
            heads.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        heads
    });
    let mut variables = world::standalone_environment(data.path());
    variables.insert("CHAT_RELAY_CHAT_BACKEND_URL".to_owned(), format!("http://{backend}/mine"));
    let process = Process::start("chat-relay", &[], &variables);
    let relay = process.address("gateway");
    let tenant = world::Operator::at(relay).provision(json!({"tenant_name": "Own backend"})).await;
    let url = format!("http://{relay}/api/v1/relay/anything/at-all?x=1");
    let answer = tenant.request(&reqwest::Client::new(), Method::GET, &url, "").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut heads = answered.await.expect("no panic");
    heads.sort_by_key(|head| !head.contains("/fetch/conversations"));
    let [check, head] = heads.try_into().expect("two");
    assert!(check.starts_with("GET /mine/fetch/conversations?limit=1 HTTP/1.1"), "{check}");
    assert!(
        head.starts_with("GET /mine/anything/at-all?x=1 HTTP/1.1") && head.contains("x-relay-signature: "),
        "{head}"
    );
}

#[tokio::test]
async fn sigterm_ends_it_in_good_order() {
    let data = tempfile::tempdir().expect("a directory");
    let (mut process, relay) = start(data.path(), &[]);
    world::until_ready(relay).await;
    process.terminate();
    let status = process.wait();
    assert!(status.success(), "{status}: {}", process.log());
}

#[tokio::test]
async fn another_database_and_metrics_of_both_services() {
    let data = tempfile::tempdir().expect("a directory");
    let postgres = e2e::postgres::Postgres::start();
    let mut variables = world::standalone_environment(data.path());
    variables.insert("CHAT_RELAY_DATABASE_URL".to_owned(), postgres.database("relay"));
    let process = Process::start("chat-relay", &[], &variables);
    let relay = process.address("gateway");
    let tenant = world::Operator::at(relay).provision(json!({"tenant_name": "On PostgreSQL"})).await;
    let client = reqwest::Client::new();
    let url = format!("http://{relay}/api/v1/relay/create/conversation");
    let answer =
        tenant.request(&client, Method::POST, &url, r#"{"visitor_user_id":"u"}"#).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert!(!data.path().join("admin.db").exists());
    let url = format!("http://{}/metrics", process.address("ops"));
    let shown = client.get(url).send().await.expect("an answer");
    assert_eq!(shown.headers()["x-content-type-options"], "nosniff");
    let metrics = shown.text().await.expect("text");
    for server in ["relay-gateway", "admin-service", "chat-backend"] {
        assert!(metrics.contains(&format!("server=\"{server}\"")), "{server} in\n{metrics}");
    }
    assert_eq!(metrics.matches("# TYPE http_server_request_duration_seconds ").count(), 1, "one family, once");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_all_of_it_is_killed_at_once() {
    let data = tempfile::tempdir().expect("a directory");
    let client = reqwest::Client::new();
    let mut kept: Vec<(Tenant, String)> = Vec::new();
    for round in 0..3 {
        let (mut process, relay) = start(data.path(), &[]);
        for index in 0..5 {
            let tenant = world::Operator::at(relay).provision(json!({"tenant_name": format!("{round}.{index}")})).await;
            let url = format!("http://{relay}/api/v1/relay/create/conversation");
            let answer = tenant
                .request(&client, Method::POST, &url, r#"{"visitor_user_id":"u"}"#)
                .send()
                .await
                .expect("an answer");
            let begun: Value = answer.json().await.expect("JSON");
            kept.push((tenant, begun["data"]["id"].as_str().expect("an id").to_owned()));
        }
        // Whatever is under way when it ends is not acknowledged.
        let url = format!("http://{relay}/api/v1/relay/create/conversation");
        let unfinished: Vec<_> = (0..8)
            .map(|n| {
                tokio::spawn(
                    kept[0].0.request(&client, Method::POST, &url, format!(r#"{{"visitor_user_id":"{n}"}}"#)).send(),
                )
            })
            .collect();
        process.kill();
        drop(unfinished);
    }
    let (_process, relay) = start(data.path(), &[]);
    for (tenant, conversation) in &kept {
        let url = format!("http://{relay}/api/v1/relay/fetch/conversation?conversation_id={conversation}");
        let answer = tenant.request(&client, Method::GET, &url, "").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
}

/// The commands that the start prints, without their indentation.
fn printed_commands(process: &Process) -> String {
    let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
    let printed = loop {
        let printed = process.stdout();
        if printed.contains("README.md goes on") {
            break printed;
        }
        assert!(std::time::Instant::now() < deadline, "{printed}\n{}", process.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let after = printed.split("provision a tenant:\n\n").nth(1).expect("the commands' heading");
    let commands = after.split("\n\n").next().expect("the commands");
    commands.lines().map(|line| format!("{}\n", line.strip_prefix("  ").expect("indented"))).collect()
}

#[tokio::test]
async fn what_the_start_prints_is_right_to_paste() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout");
    let public = world::lasting_address();
    let localhost = format!("http://localhost:{}", public.rsplit(':').next().expect("a port"));
    for (name, listen, more) in [
        ("on loopback", world::ANY_PORT, None),
        ("on all addresses", "0.0.0.0:0", None),
        ("on all of IPv6's", "[::]:0", None),
        ("without the admin API", world::ANY_PORT, Some(("CHAT_RELAY_EXPOSE_ADMIN_API", "false"))),
        ("known under another name", public.as_str(), Some(("CHAT_RELAY_RELAY_URL", localhost.as_str()))),
    ] {
        let place = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(checkout.join("deploy"), place.path().join("deploy")).expect("linked");
        let mut variables = world::standalone_environment(&place.path().join("it's data"));
        variables.remove("ADMIN_API_KEY");
        variables.insert("CHAT_RELAY_LISTEN".to_owned(), listen.to_owned());
        variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let process = Process::start("chat-relay", &[], &variables);
        let relay = process.address("gateway");
        let commands = printed_commands(&process);
        assert!(!commands.contains("0.0.0.0") && !commands.contains("[::]"), "{name}: {commands}");
        assert_eq!(process.stdout().contains("listens on all addresses"), relay.ip().is_unspecified(), "{name}");

        // The README's steps 2 and 5 go on from what step 1 leaves.
        let script = format!(
            "set -eu\n{commands}. ./tenant.env\nmkdir page && grep -o '<script.*' tenant.env > page/index.html\n\
             stat -c %a tenant.env\necho $BASE_URL $CHAT_RELAY_BASE_URL $CHAT_TENANT_ID"
        );
        let run = tokio::process::Command::new("bash").args(["-c", &script]).current_dir(place.path()).output();
        let run = run.await.expect("bash runs");
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success() && told.is_empty(), "{name}: {commands}{told}");
        let shown = String::from_utf8(run.stdout).expect("text");
        let [mode, base, pasted, tenant_id] = shown.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{name}: {shown}");
        };
        assert_eq!((mode, base), ("600", pasted), "{name}");
        let page = std::fs::read_to_string(place.path().join("page/index.html")).expect("a page");
        assert!(page.starts_with(&format!("<script src=\"{base}/widget.js\"")), "{name}: {page}");
        let client = reqwest::Client::new();
        let answer = client.get(format!("{base}/widget.js")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{name}");

        let key = std::fs::read_to_string(place.path().join("it's data/admin.key")).expect("a key");
        let admin = process.address("admin-rest");
        let url = format!("http://{admin}/api/v1/fetch/tenant?tenant_id={tenant_id}");
        let answer = client.get(url).header("x-admin-key", key.trim()).send().await.expect("an answer");
        let tenant: Value = answer.json().await.expect("JSON");
        let origins = tenant["data"]["allowed_origins"].as_array().expect("origins");
        for origin in [base, "http://localhost:8000"] {
            assert!(origins.contains(&json!(origin)), "{name}: {origin} in {tenant}");
        }
        if process.stdout().contains("/demo") {
            let shown = client.get(format!("{base}/demo")).send().await.expect("an answer").text().await.expect("text");
            assert!(shown.contains("<script src=\"/widget.js\" data-tenant-id=\""), "{name}: {shown}");
        }
    }
}

/// What is answered to a request that a client's URL parser would not make.
async fn raw(relay: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(relay).await.expect("it connects");
    let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn the_demo_page_answers_under_its_own_hosts_and_to_no_proxy() {
    let data = tempfile::tempdir().expect("a directory");
    let (_process, relay) = start(data.path(), &[]);
    let port = relay.port();
    for path in ["/demo", "/demo/style.css", "/demo/icon.svg"] {
        for own in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
            let answer = raw(relay, path, &format!("host: {own}\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path} at {own}: {answer}");
            assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
        }
        for (headers, told) in [
            (format!("host: rebound.example:{port}\r\n"), "relay_url"),
            (format!("host: localhost:{port}\r\nx-forwarded-host: shop.example\r\n"), "demo_page"),
            (format!("host: localhost:{port}\r\nforwarded: for=192.0.2.1\r\n"), "demo_page"),
        ] {
            let answer = raw(relay, path, &headers).await;
            assert!(answer.starts_with("HTTP/1.1 404") && answer.contains(told), "{path} {headers}: {answer}");
        }
    }
}

#[tokio::test]
async fn settings_of_the_gateway_and_the_admin_service_are_the_one_processs_too() {
    let data = tempfile::tempdir().expect("a directory");
    let mut variables = world::standalone_environment(data.path());
    for (name, value) in [
        ("CHAT_RELAY_EXPOSE_ADMIN_API", "false"),
        ("CHAT_RELAY_BODY_LIMIT_BYTES", "100"),
        ("CHAT_RELAY_GRPC_TOKEN", "a-token-of-the-operators-own"),
        ("CHAT_RELAY_RELAY_SECRET", "a-secret-of-the-operators-own"),
        ("CHAT_RELAY_MASTER_KEYS", world::MASTER_KEYS),
        ("GATEWAY_BODY_LIMIT_BYTES", "200"),
        ("GATEWAY_MAX_SOCKETS", "200"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let process = Process::start("chat-relay", &[], &variables);
    let (relay, admin) = (process.address("gateway"), process.address("admin-rest"));
    let (status, answer) = world::Operator::at(relay).call("GET", "/fetch/tenants", None).await;
    let told = answer["message"].as_str().expect("a message");
    assert!(status == 404 && told.contains("expose_admin_api") && told.contains("own address"), "{answer}");
    let tenant = world::Operator::at(admin).provision(json!({"tenant_name": "Set otherwise"})).await;
    let url = format!("http://{relay}/api/v1/relay/create/conversation");
    let client = reqwest::Client::new();
    let call =
        |id: &str| tenant.request(&client, Method::POST, &url, json!({"visitor_user_id": id}).to_string()).send();
    assert_eq!(call("short").await.expect("an answer").status(), 201);
    assert_eq!(call(&"long".repeat(30)).await.expect("an answer").status(), 413);
    for unused in ["grpc.token", "relay.secret", "master.key"] {
        assert!(!data.path().join(unused).exists(), "{unused} was made for nothing");
    }
    let log = process.log();
    assert!(
        log.contains("GATEWAY_MAX_SOCKETS is not read: relay-gateway in one process reads CHAT_RELAY_MAX_SOCKETS"),
        "{log}"
    );
    assert!(!log.contains("GATEWAY_BODY_LIMIT_BYTES"), "one environment for several deployments: {log}");
}

/// What a visitor's first question is answered on a fresh deployment with these variables, from a tenant that has ingested nothing.
async fn first_answer(extra: &[(&str, &str)]) -> Value {
    let data = tempfile::tempdir().expect("a directory");
    let mut variables = world::standalone_environment(data.path());
    variables.extend(world::environment(extra));
    let process = Process::start("chat-relay", &[], &variables);
    let (relay, rest) = (process.address("gateway"), process.address("admin-rest"));
    world::until_ready(relay).await;
    let fields = json!({"tenant_name": "Fresh", "allowed_origins": [PAGE]});
    let tenant = world::Operator::at(rest).provision(fields).await;
    let session = begin_session(relay, &tenant).await;
    let mut visitor = Visitor::connect(relay, session["visitor_token"].as_str().expect("a token")).await;
    visitor.hear("welcome").await;
    visitor.ask("Where is my order?").await;
    loop {
        let frame = visitor.hear_any().await;
        if frame["type"] == "message" {
            return frame["message"].clone();
        }
    }
}

#[tokio::test]
async fn on_a_laptop_the_bot_knows_a_little_and_nowhere_else() {
    let answer = first_answer(&[]).await;
    assert_eq!((&answer["role"], &answer["citations"][0]["title"]), (&json!("bot"), &json!("Orders")), "{answer}");
    let no_page: &[_] = &[("CHAT_RELAY_DEMO_PAGE", "false")];
    let public: &[_] = &[("CHAT_RELAY_DEMO_PAGE", "true"), ("CHAT_RELAY_RELAY_URL", "https://chat.example.com")];
    for deployed in [no_page, public] {
        let answer = first_answer(deployed).await;
        assert_eq!(answer["role"], "system", "{deployed:?}: {answer}");
    }
}
