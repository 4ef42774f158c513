//! A chat backend of a test's own, on a free port, and calls to it that are signed as the relay signs them.

use std::sync::Arc;

use chat_backend::{
    Store,
    config::{FilesConfig, MailConfig},
};
use e2e::postgres::{Pooler, Postgres};
use http::Method;
use serde_json::{Value, json};
use service::{
    edge::{ClientAddresses, Edge},
    serve::{self, Bounds},
    telemetry::metrics::{HttpServerMetrics, Metrics},
};
use tokio_util::sync::CancellationToken;
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, Signature},
    time::now_unix_ms,
};

pub(crate) const SECRET: &str = "a-relay-secret-for-tests";
/// The first is one that the relay does not sign with yet.
const SECRETS: &str = "the-next-relay-secret-for-tests,a-relay-secret-for-tests";
/// What the backend itself signs with.
pub(crate) const FIRST_SECRET: &str = "the-next-relay-secret-for-tests";

/// A database of a test's own: a SQLite file, or, where `CHAT_BACKEND_TEST_DATABASE` is `postgres`, a PostgreSQL server. It is gone with
/// the last clone.
#[derive(Clone)]
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    kept: Arc<Kept>,
}

enum Kept {
    File { _directory: tempfile::TempDir },
    Server(Postgres),
}

impl TestDatabase {
    pub(crate) fn new() -> Self {
        if std::env::var("CHAT_BACKEND_TEST_DATABASE").is_ok_and(|database| database == "postgres") {
            return Self::on_postgres();
        }
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("chat.db").display());
        Self { url, kept: Arc::new(Kept::File { _directory: directory }) }
    }

    /// Stops and starts the server.
    pub(crate) fn restart(&self) {
        match &*self.kept {
            Kept::Server(server) => server.restart(),
            Kept::File { .. } => panic!("a file has no server"),
        }
    }

    /// The same through a pooler, which drops these startup parameters and refuses others.
    pub(crate) fn behind_a_pooler(&self, ignored_parameters: &str) -> (Pooler, String) {
        let Kept::Server(server) = &*self.kept else { panic!("a file has no pooler") };
        let pooler = Pooler::before(server.socket_directory(), ignored_parameters);
        let url = pooler.database("chat");
        (pooler, url)
    }

    /// One that several backends may share.
    pub(crate) fn on_postgres() -> Self {
        let server = Postgres::start();
        // A test that looks into the tables itself finds them without naming their schema.
        let url = format!("{}?options=-c%20search_path%3Dchat_backend", server.database("chat"));
        Self { url, kept: Arc::new(Kept::Server(server)) }
    }
}

pub(crate) struct Backend {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    stopping: CancellationToken,
    backend: chat_backend::Backend,
    /// Deleted with the backend, if nobody else keeps it.
    _place: TestDatabase,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    pub(crate) async fn start_with(demo_knowledge: bool) -> Self {
        let place = TestDatabase::new();
        let mut backend = Self::open(&place).await;
        if demo_knowledge {
            backend = backend.with_demo_knowledge().await.expect("it opens");
        }
        Self::serve(backend, place).await
    }

    /// One whose bot takes this long for each answer.
    pub(crate) async fn start_slow(pause: std::time::Duration) -> Self {
        let place = TestDatabase::new();
        Self::serve(Self::open(&place).await.with_bot_pause(pause), place).await
    }

    /// One over a database that may outlive it. It publishes to an admin service, if one is named.
    pub(crate) async fn start_in(place: &TestDatabase, events_url: Option<&str>) -> Self {
        let mut backend = Self::open(place).await;
        if let Some(url) = events_url {
            let (url, secrets) = (url.parse().expect("a URL"), SECRETS.parse().expect("secrets"));
            backend = backend.publishing_to(&url, &secrets, &Metrics::default());
        }
        Self::serve(backend, place.clone()).await
    }

    /// One that mails what visitors do not read.
    pub(crate) async fn start_mailing(place: &TestDatabase, config: &MailConfig) -> Self {
        let backend = Self::open(place).await.mailing(config, &Metrics::default());
        Self::serve(backend, place.clone()).await
    }

    /// One that keeps files.
    pub(crate) async fn start_keeping_files(place: &TestDatabase, config: &FilesConfig) -> Self {
        let backend = Self::open(place).await.keeping_files(config).expect("it opens");
        Self::serve(backend, place.clone()).await
    }

    async fn open(place: &TestDatabase) -> chat_backend::Backend {
        let store = Store::open(&place.url).await.expect("it opens");
        chat_backend::Backend::new(store, CancellationToken::new())
    }

    async fn serve(backend: chat_backend::Backend, place: TestDatabase) -> Self {
        let stopping = CancellationToken::new();
        let edge = Edge {
            server: "test",
            metrics: HttpServerMetrics::new(&Metrics::default()),
            access_log: false,
            clients: ClientAddresses::default(),
        };
        let router = edge.wrap(chat_backend::router(backend.clone(), &SECRETS.parse().expect("secrets")));
        let listener = serve::bind("listen", ([127, 0, 0, 1], 0).into()).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve::serve(listener, router, Bounds::default(), stopping.clone()));
        Self { base, client: reqwest::Client::new(), stopping, backend, _place: place }
    }

    /// Ends it as a process ends that is told to stop.
    pub(crate) async fn close(&self) {
        self.stopping.cancel();
        self.backend.clone().close().await.expect("it closes");
    }

    pub(crate) fn headers(
        tenant: &str,
        method: &Method,
        path: &str,
        body: &[u8],
        timestamp: i64,
    ) -> Vec<(&'static str, String)> {
        Self::headers_as("tenant", tenant, method, path, body, timestamp)
    }

    pub(crate) fn headers_as(
        actor: &str,
        tenant: &str,
        method: &Method,
        path: &str,
        body: &[u8],
        timestamp: i64,
    ) -> Vec<(&'static str, String)> {
        let sign = |call: &RelayedCall<'_>| RelayKey::new(SECRET.as_bytes()).sign(call, &BodyDigest::of(body));
        Self::signed_by(sign, actor, tenant, method, path, timestamp)
    }

    fn signed_by(
        sign: impl Fn(&RelayedCall<'_>) -> Signature,
        actor: &str,
        tenant: &str,
        method: &Method,
        path: &str,
        timestamp: i64,
    ) -> Vec<(&'static str, String)> {
        let timestamp = timestamp.to_string();
        let call = RelayedCall {
            timestamp: &timestamp,
            method: method.as_str(),
            path_and_query: path,
            tenant_id: tenant,
            actor,
        };
        let signature = sign(&call).to_hex();
        vec![
            ("x-relay-tenant-id", tenant.to_owned()),
            ("x-relay-timestamp", timestamp),
            ("x-relay-actor", actor.to_owned()),
            ("x-relay-signature", signature),
        ]
    }

    /// A POST whose body is not signed.
    pub(crate) fn unsigned(&self, tenant: TenantId, actor: &str, path: &str) -> reqwest::RequestBuilder {
        let sign = |call: &RelayedCall<'_>| RelayKey::new(SECRET.as_bytes()).sign_without_body(call);
        let headers = Self::signed_by(sign, actor, &tenant.to_string(), &Method::POST, path, now_unix_ms());
        let request = self.client.post(format!("{}{path}", self.base));
        headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// The answer to a GET, whatever it is.
    pub(crate) async fn raw(&self, tenant: TenantId, path: &str) -> reqwest::Response {
        let headers = Self::headers(&tenant.to_string(), &Method::GET, path, b"", now_unix_ms());
        let request = self.client.get(format!("{}{path}", self.base));
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("an answer")
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        headers: Vec<(&'static str, String)>,
    ) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_vec());
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let answer = request.send().await.expect("an answer");
        let (status, answer) = (answer.status().as_u16(), answer.json().await.expect("JSON"));
        e2e::times::check_times(&answer);
        (status, answer)
    }

    pub(crate) async fn call(&self, tenant: TenantId, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let headers = Self::headers(&tenant.to_string(), &method, path, &body, now_unix_ms());
        self.send(method, path, &body, headers).await
    }

    pub(crate) async fn post(&self, tenant: TenantId, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(tenant, Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "{answer}");
        answer["data"].clone()
    }

    pub(crate) async fn get(&self, tenant: TenantId, path: &str) -> Value {
        let (status, answer) = self.call(tenant, Method::GET, path, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["data"].clone()
    }

    pub(crate) async fn conversation(&self, tenant: TenantId) -> String {
        self.conversation_about(tenant, json!({})).await
    }

    pub(crate) async fn conversation_about(&self, tenant: TenantId, metadata: Value) -> String {
        let body = json!({"visitor_user_id": "u", "locale": "en", "metadata": metadata});
        self.post(tenant, "/create/conversation", body).await["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn say(&self, tenant: TenantId, conversation: &str, content: &str) -> Vec<Value> {
        let path = format!("/add/message?conversation_id={conversation}");
        self.post(tenant, &path, json!({"role": "visitor", "content": content})).await;
        let messages = self.get(tenant, &format!("/fetch/messages?conversation_id={conversation}")).await;
        messages["items"].as_array().expect("a list").clone()
    }
}

/// The role and content of a conversation's newest message, and how many there are.
pub(crate) fn newest(messages: &[Value]) -> (usize, &str, &str) {
    let newest = messages.last().expect("a message");
    (messages.len(), newest["role"].as_str().expect("a role"), newest["content"].as_str().expect("text"))
}
