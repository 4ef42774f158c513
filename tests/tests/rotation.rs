//! Every secret that two processes share is changed while both work: the side that checks accepts the new one first, then the
//! side that sends changes, then the old one is dropped.

use std::{collections::HashMap, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use e2e::{
    process::Process,
    signed::Tenant,
    world::{
        ADMIN_KEY, GRPC_TOKEN, RELAY_SECRET, admin_environment, backend_environment, gateway_environment,
        lasting_address, until_ready,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

const NEW_ADMIN_KEY: &str = "the-next-admin-key-of-operators";
const NEW_GRPC_TOKEN: &str = "the-next-token-of-gateways";
const NEW_RELAY_SECRET: &str = "the-next-secret-of-the-backend";

/// Sets a secret by a file that holds it, in the place of its variable.
fn set_by_file(variables: &mut HashMap<String, String>, directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    variables.remove(name);
    variables.insert(format!("{name}_FILE"), path.to_str().expect("utf-8").to_owned());
}

/// An admin service and a chat backend that are started again, at the same addresses, with other secrets.
struct Checking {
    directory: tempfile::TempDir,
    admin_variables: HashMap<String, String>,
    backend_variables: HashMap<String, String>,
    processes: Option<(Process, Process)>,
    rest: SocketAddr,
    grpc: SocketAddr,
    backend: SocketAddr,
}

impl Checking {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let database = format!("sqlite://{}?mode=rwc", directory.path().join("admin.db").display());
        let mut admin_variables = admin_environment(&database);
        let mut backend_variables = backend_environment(directory.path());
        let lasting = |variables: &mut HashMap<String, String>, name: &str| {
            let address = lasting_address();
            variables.insert(name.to_owned(), address.clone());
            address.parse().expect("an address")
        };
        let rest = lasting(&mut admin_variables, "ADMIN_REST_LISTEN");
        let grpc = lasting(&mut admin_variables, "ADMIN_GRPC_LISTEN");
        let backend = lasting(&mut backend_variables, "CHAT_BACKEND_LISTEN");
        Self { directory, admin_variables, backend_variables, processes: None, rest, grpc, backend }
    }

    /// Starts both again: these secrets are accepted, a line each.
    async fn accept(&mut self, keys: &str, tokens: &str, secrets: &str) {
        drop(self.processes.take());
        let directory = self.directory.path();
        set_by_file(&mut self.admin_variables, directory, "ADMIN_API_KEY", keys);
        set_by_file(&mut self.admin_variables, directory, "ADMIN_GRPC_TOKEN", tokens);
        set_by_file(&mut self.backend_variables, directory, "CHAT_BACKEND_RELAY_SECRET", secrets);
        let admin = Process::start("admin-service", &[], &self.admin_variables);
        let backend = Process::start("chat-relay", &["backend"], &self.backend_variables);
        let _ = (admin.address("admin-grpc"), backend.address("chat-backend"));
        until_ready(self.rest).await;
        self.processes = Some((admin, backend));
    }

    /// A gateway that has these secrets; the first of each list is what it sends and signs with.
    async fn gateway(&self, tokens: &str, secrets: &str) -> (Process, SocketAddr) {
        let mut variables = gateway_environment(self.grpc, self.backend);
        variables.insert("GATEWAY_ADMIN_GRPC_TOKEN".to_owned(), tokens.to_owned());
        variables.insert("GATEWAY_RELAY_SECRET".to_owned(), secrets.to_owned());
        let process = Process::start("relay-gateway", &[], &variables);
        let address = process.address("gateway");
        (process, address)
    }

    async fn call(&self, key: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("http://{}/api/v1{path}", self.rest);
        let request = reqwest::Client::new().request(method, url).header("x-admin-key", key);
        let answer = request.json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// Makes a tenant and answers it and who the audit log says made it.
    async fn provision(&self, key: &str) -> (Tenant, String) {
        let (status, made) = self.call(key, Method::POST, "/provision/tenant", json!({"tenant_name": "T"})).await;
        assert_eq!(status, 201, "{made}");
        let tenant = Tenant::from_provisioned(&made["data"]);
        let path = format!("/fetch/audit-log?tenant_id={}", tenant.id);
        let (_, log) = self.call(key, Method::GET, &path, Value::Null).await;
        (tenant, log["data"]["items"][0]["actor"].as_str().unwrap_or_else(|| panic!("{log}")).to_owned())
    }
}

/// What a signed call is answered that needs the gateway's token at the admin service, and its signature at the backend.
async fn begin_conversation(gateway: SocketAddr, tenant: &Tenant) -> u16 {
    let url = format!("http://{gateway}/api/v1/relay/create/conversation");
    let body = format!(r#"{{"visitor_user_id":"{}"}}"#, uuid::Uuid::new_v4());
    let request = tenant.request(&reqwest::Client::new(), Method::POST, &url, body);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shared_secret_is_changed_without_a_refused_call() {
    let mut checking = Checking::new();
    checking.accept(ADMIN_KEY, GRPC_TOKEN, RELAY_SECRET).await;
    let (old_process, old_gateway) = checking.gateway(GRPC_TOKEN, RELAY_SECRET).await;
    until_ready(old_gateway).await;
    let (first, old_actor) = checking.provision(ADMIN_KEY).await;
    assert_eq!(begin_conversation(old_gateway, &first).await, 201);

    // The new ones are accepted beside the old, wherever they stand in the list.
    let both = |new: &str, old: &str| format!("{new}\n{old}\n");
    checking
        .accept(
            &both(NEW_ADMIN_KEY, ADMIN_KEY),
            &both(NEW_GRPC_TOKEN, GRPC_TOKEN),
            &format!("{RELAY_SECRET},{NEW_RELAY_SECRET}"),
        )
        .await;
    until_ready(old_gateway).await;
    // What sends changes: its lists are what it sends first, and the old ones, which nobody asks it for.
    let (_new_process, new_gateway) = checking
        .gateway(&format!("{NEW_GRPC_TOKEN},{GRPC_TOKEN}"), &format!("{NEW_RELAY_SECRET}, {RELAY_SECRET}"))
        .await;
    until_ready(new_gateway).await;
    let (second, actor) = checking.provision(ADMIN_KEY).await;
    assert_eq!(actor, old_actor, "a key has one name in the audit log, beside others too");
    let (third, new_actor) = checking.provision(NEW_ADMIN_KEY).await;
    assert_ne!(new_actor, old_actor);
    for tenant in [&first, &second, &third] {
        for gateway in [old_gateway, new_gateway] {
            assert_eq!(begin_conversation(gateway, tenant).await, 201);
        }
    }
    drop(old_process);

    // The old ones are dropped. The new gateway goes on; a caller with only an old secret is refused.
    checking.accept(NEW_ADMIN_KEY, NEW_GRPC_TOKEN, NEW_RELAY_SECRET).await;
    until_ready(new_gateway).await;
    let (fourth, actor) = checking.provision(NEW_ADMIN_KEY).await;
    assert_eq!(actor, new_actor);
    for tenant in [&first, &fourth] {
        assert_eq!(begin_conversation(new_gateway, tenant).await, 201);
    }
    let (status, _) = checking.call(ADMIN_KEY, Method::GET, "/fetch/tenants", Value::Null).await;
    assert_eq!(status, 401, "the old key is dropped");
    let (_left, wrong_token) = checking.gateway(GRPC_TOKEN, NEW_RELAY_SECRET).await;
    assert_eq!(begin_conversation(wrong_token, &first).await, 503, "the old token is dropped");
    let (_left, wrong_secret) = checking.gateway(NEW_GRPC_TOKEN, RELAY_SECRET).await;
    until_ready(wrong_secret).await;
    assert_ne!(begin_conversation(wrong_secret, &first).await, 201, "the old relay secret is dropped");
}
