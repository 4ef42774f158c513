//! The services as separate processes, wired as in production but for addresses and keys.

use std::{
    collections::HashMap,
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    process::{PATIENCE, Process},
    signed::Tenant,
    times::check_times,
};

/// The operators' key in tests.
pub const ADMIN_KEY: &str = "an-admin-key-for-tests";
/// The master key in tests.
pub const MASTER_KEYS: &str = "k1:efve3JSpW3WfCgBrLI99gAocY0x+YB/mP+vXM+ekxN8=";
/// The token between the services in tests.
pub const GRPC_TOKEN: &str = "a-grpc-token-for-tests";
/// The secret shared with the chat backend in tests.
pub const RELAY_SECRET: &str = "a-relay-secret-for-tests";

/// Port 0 of loopback: the system picks.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// An address that stays a test's own over restarts: outside the range the system picks ports from, and reserved by a locked
/// file for as long as the test runs, so that nobody is given it twice, or while a process is down.
///
/// # Panics
/// Where no port is free.
#[must_use]
pub fn lasting_address() -> String {
    static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let directory = std::env::temp_dir().join("chat-relay-test-ports");
    std::fs::create_dir_all(&directory).expect("a directory");
    (0..1000)
        .find_map(|_| {
            let [high, low, ..] = uuid::Uuid::new_v4().into_bytes();
            let port = 10_000 + u16::from_be_bytes([high, low]) % 20_000;
            let file = File::create(directory.join(port.to_string())).ok()?;
            file.try_lock().ok()?;
            let _free = std::net::TcpListener::bind(("127.0.0.1", port)).ok()?;
            RESERVED.lock().expect("not poisoned").push(file);
            Some(format!("127.0.0.1:{port}"))
        })
        .expect("a free port")
}

/// A process's whole environment.
#[must_use]
pub fn environment(variables: &[(&str, &str)]) -> HashMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The variables of an admin service on this database.
#[must_use]
pub fn admin_environment(database_url: &str) -> HashMap<String, String> {
    environment(&[
        ("ADMIN_REST_LISTEN", ANY_PORT),
        ("ADMIN_GRPC_LISTEN", ANY_PORT),
        ("ADMIN_DATABASE_URL", database_url),
        ("ADMIN_API_KEY", ADMIN_KEY),
        ("ADMIN_MASTER_KEYS", MASTER_KEYS),
        ("ADMIN_GRPC_TOKEN", GRPC_TOKEN),
        ("ADMIN_RELAY_SECRETS", RELAY_SECRET),
        ("ADMIN_LOG_FORMAT", "json"),
    ])
}

/// The variables of a gateway between these.
#[must_use]
pub fn gateway_environment(admin_grpc: SocketAddr, backend: SocketAddr) -> HashMap<String, String> {
    environment(&[
        ("GATEWAY_LISTEN", ANY_PORT),
        ("GATEWAY_ADMIN_GRPC", &format!("http://{admin_grpc}")),
        ("GATEWAY_ADMIN_GRPC_TOKEN", GRPC_TOKEN),
        ("GATEWAY_CHAT_BACKEND_URL", &format!("http://{backend}")),
        ("GATEWAY_RELAY_SECRET", RELAY_SECRET),
        ("GATEWAY_LOG_FORMAT", "json"),
    ])
}

/// The variables of a chat backend with its data there.
#[must_use]
pub fn backend_environment(data_dir: &Path) -> HashMap<String, String> {
    environment(&[
        ("CHAT_BACKEND_LISTEN", ANY_PORT),
        ("CHAT_BACKEND_DATA_DIR", data_dir.to_str().expect("utf-8")),
        ("CHAT_BACKEND_RELAY_SECRET", RELAY_SECRET),
        ("CHAT_BACKEND_LOG_FORMAT", "json"),
    ])
}

/// The variables of the one-process deployment with its data there.
#[must_use]
pub fn standalone_environment(data_dir: &Path) -> HashMap<String, String> {
    environment(&[
        ("CHAT_RELAY_LISTEN", ANY_PORT),
        ("CHAT_RELAY_ADMIN_LISTEN", ANY_PORT),
        ("CHAT_RELAY_GRPC_LISTEN", ANY_PORT),
        ("CHAT_RELAY_OPS_LISTEN", ANY_PORT),
        ("CHAT_RELAY_DATA_DIR", data_dir.to_str().expect("utf-8")),
        ("CHAT_RELAY_LOG_FORMAT", "json"),
        ("ADMIN_API_KEY", ADMIN_KEY),
    ])
}

/// An operator with the admin key.
#[derive(Clone, Debug)]
pub struct Operator {
    client: reqwest::Client,
    base: String,
}

impl Operator {
    /// One who calls the REST facade at this address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self { client: reqwest::Client::new(), base: format!("http://{address}/api/v1") }
    }

    /// The tenant with another widget key, which opens so many sessions in an hour.
    ///
    /// # Panics
    /// Where the relay refuses it.
    pub async fn with_widget_key(&self, tenant: Tenant, sessions_per_hour: u32) -> Tenant {
        let fields = json!({"name": "n", "abilities": ["*"]});
        let path = format!("/create/account-key?tenant_id={}", tenant.id);
        let (_, key) = self.call("POST", &path, Some(fields)).await;
        let key = key["data"]["account_key"].as_str().expect("a key").to_owned();
        let bots = self.client.get(format!("{}/bots", self.base)).bearer_auth(&key).send().await.expect("bots");
        let bots: Value = bots.json().await.expect("JSON");
        let bot_id = &bots["data"]["items"][0]["bot_id"];
        let fields = json!({"bot_id": bot_id, "name": "n", "rate_limit_per_hour": sessions_per_hour});
        let url = format!("{}/widgets/keys", self.base);
        let made = self.client.post(url).bearer_auth(&key).json(&fields).send().await.expect("made");
        let made: Value = made.json().await.expect("JSON");
        Tenant { widget_public_key: made["data"]["api_key"].as_str().expect("a key").to_owned(), ..tenant }
    }

    /// Makes a call with the key and answers status and body.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn try_call(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Result<(u16, Value)> {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base)).header("x-admin-key", ADMIN_KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    /// Makes a call with the key and answers status and body.
    ///
    /// # Panics
    /// Where no answer came.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let (status, answer) = self.try_call(method, path, body).await.expect("an answer");
        check_times(&answer);
        (status, answer)
    }

    /// Provisions a tenant with these fields.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn provision(&self, fields: Value) -> Tenant {
        let (status, answer) = self.call("POST", "/provision/tenant", Some(fields)).await;
        assert_eq!(status, 201, "{answer}");
        Tenant::from_provisioned(&answer["data"])
    }
}

/// Waits until `/readyz` of a listener says so.
///
/// # Panics
/// Where it does not in time.
pub async fn until_ready(address: SocketAddr) {
    let client = reqwest::Client::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(answer) = client.get(format!("http://{address}/readyz")).send().await
            && answer.status().is_success()
        {
            return;
        }
        assert!(Instant::now() < deadline, "{address} does not get ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The three processes of a deployment: admin service, chat backend, gateway.
#[derive(Debug)]
pub struct World {
    /// The admin service.
    pub admin: Process,
    /// The chat backend.
    pub backend: Process,
    /// The gateway.
    pub gateway: Process,
    /// Where the REST facade listens.
    pub rest: SocketAddr,
    /// Where the admin service's gRPC listens.
    pub grpc: SocketAddr,
    /// Where the backend listens.
    pub backend_address: SocketAddr,
    /// Where the gateway listens.
    pub relay: SocketAddr,
    data: tempfile::TempDir,
    admin_variables: HashMap<String, String>,
    /// What the backend is started with when it comes back.
    pub backend_variables: HashMap<String, String>,
}

impl World {
    /// Starts all three, with further variables for each.
    ///
    /// # Panics
    /// Where one does not start.
    pub async fn start(extra: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut admin_variables =
            admin_environment(&format!("sqlite://{}?mode=rwc", data.path().join("admin.db").display()));
        let mut backend_variables = backend_environment(data.path());
        admin_variables.extend(environment(extra));
        backend_variables.extend(environment(extra));
        // A restart comes back at the same addresses.
        for name in ["ADMIN_REST_LISTEN", "ADMIN_GRPC_LISTEN"] {
            admin_variables.insert(name.to_owned(), lasting_address());
        }
        backend_variables.insert("CHAT_BACKEND_LISTEN".to_owned(), lasting_address());
        backend_variables
            .insert("CHAT_BACKEND_EVENTS_URL".to_owned(), format!("http://{}", admin_variables["ADMIN_REST_LISTEN"]));
        let admin = Process::start("admin-service", &[], &admin_variables);
        let backend = Process::start("chat-relay", &["backend"], &backend_variables);
        let (rest, grpc) = (admin.address("admin-rest"), admin.address("admin-grpc"));
        let backend_address = backend.address("chat-backend");
        let mut gateway_variables = gateway_environment(grpc, backend_address);
        gateway_variables.insert("GATEWAY_LISTEN".to_owned(), lasting_address());
        gateway_variables.extend(environment(extra));
        let gateway = Process::start("relay-gateway", &[], &gateway_variables);
        let relay = gateway.address("gateway");
        until_ready(relay).await;
        Self { admin, backend, gateway, rest, grpc, backend_address, relay, data, admin_variables, backend_variables }
    }

    /// A tenant whose widget key opens as many sessions as it takes, for pages of this origin.
    ///
    /// # Panics
    /// Where the relay refuses it.
    pub async fn measured_tenant(&self, origin: &str) -> Tenant {
        let tenant = self
            .operator()
            .provision(json!({"tenant_name": "Measured", "allowed_origins": [origin], "rate_limit_per_min": 6_000_000}))
            .await;
        self.operator().with_widget_key(tenant, 1_000_000).await
    }

    /// Kills the admin service as `kill -9` does and starts it again at the same addresses.
    pub fn crash_admin(&mut self) {
        self.admin.kill();
        self.admin = Process::start("admin-service", &[], &self.admin_variables);
        let _ = self.admin.address("admin-rest");
    }

    /// Kills the chat backend as `kill -9` does and starts it again at the same address.
    pub fn crash_backend(&mut self) {
        self.backend.kill();
        self.backend = Process::start("chat-relay", &["backend"], &self.backend_variables);
        let _ = self.backend.address("chat-backend");
    }

    /// Where the processes keep their files.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// An operator at the REST facade.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::at(self.rest)
    }

    /// The URL of a path of the signed surface.
    #[must_use]
    pub fn relay_url(&self, path: &str) -> String {
        format!("http://{}/api/v1/relay/{path}", self.relay)
    }
}
