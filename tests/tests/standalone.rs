//! The one-process deployment: what the first start makes, what it prints, and that a crash loses nothing.

use std::{collections::HashMap, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::{process::Process, signed::Tenant, world};
use reqwest::Method;
use serde_json::{Value, json};

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
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut buffer = vec![0; 8192];
        let length = stream.read(&mut buffer).await.expect("a head");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.expect("sent");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    });
    let mut variables = world::standalone_environment(data.path());
    variables.insert("CHAT_RELAY_CHAT_BACKEND_URL".to_owned(), format!("http://{backend}/mine"));
    let process = Process::start("chat-relay", &[], &variables);
    let relay = process.address("gateway");
    let tenant = world::Operator::at(relay).provision(json!({"tenant_name": "Own backend"})).await;
    let url = format!("http://{relay}/api/v1/relay/anything/at-all?x=1");
    let answer = tenant.request(&reqwest::Client::new(), Method::GET, &url, "").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let head = answered.await.expect("no panic");
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
    let metrics = client.get(url).send().await.expect("an answer").text().await.expect("text");
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
