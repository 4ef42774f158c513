//! A gateway inside the test, between two fakes: an admin service over real gRPC, and a backend over real HTTP that
//! checks HMAC#2 and answers only what a test told it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    signed::Tenant,
    visitor::PAGE,
    world::{self, GRPC_TOKEN, RELAY_SECRET},
};
use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::{SinkExt as _, StreamExt as _};
use proto::{
    directory::v1::{
        Changes, GetTenantInfoRequest, GetTenantRequest, GetTenantResponse, GetWidgetRequest, GetWidgetResponse, Grant,
        Position, TenantInfo, TenantState, TenantStatus, WatchRequest, WatchResponse, Widget,
        tenant_directory_server::{TenantDirectory, TenantDirectoryServer},
        watch_request::Message,
    },
    identity::v1::{
        GetSigningKeysRequest, GetSigningKeysResponse, IssueOperatorTokenRequest, IssueOperatorTokenResponse,
        MintVisitorTokenRequest, MintVisitorTokenResponse, Operator, ProvisionOperatorRequest,
        ProvisionOperatorResponse,
        identity_server::{Identity, IdentityServer},
    },
    visitors::v1::{
        AdmitVisitorRequest, EndSessionRequest, EndSessionResponse, GetSessionRequest, ListEndedSessionsRequest,
        ListEndedSessionsResponse, ListRevokedVisitorsRequest, ListRevokedVisitorsResponse, OpenSessionRequest,
        OpenSessionResponse, RefreshTokenRequest, RefreshTokenResponse, RevokeVisitorRequest, RevokeVisitorResponse,
        RevokedVisitor, Session,
        visitors_server::{Visitors, VisitorsServer},
    },
};
use relay_gateway::{
    config::Config,
    server::{self, Running},
};
use serde_json::{Value, json};
use service::{
    ApiError,
    config::Sources,
    telemetry::metrics::{HttpServerMetrics, Metrics},
    websocket::{self, Socket},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::{Message as WsMessage, protocol::Role};
use tokio_util::sync::CancellationToken;
use tonic::{Request as Rpc, Response as Answer, Status, Streaming, transport::server::TcpIncoming};
use wire::{
    ErrorCode, SessionId, TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, Signature},
    time::now_unix_ms,
};

type States = Arc<Mutex<HashMap<Vec<u8>, TenantState>>>;

type Watcher = mpsc::Sender<Result<WatchResponse, Status>>;

/// How long its leases are, unless a test says otherwise: longer than any test.
const LEASE_MS: u32 = 600_000;

/// The admin service, as far as gateways know it.
#[derive(Clone, Default)]
pub(crate) struct FakeAdmin {
    states: States,
    accesses: Arc<Mutex<HashMap<Vec<u8>, FakeWidgetAccess>>>,
    /// When sessions are over, if not later than any test.
    pub(crate) session_ends: Arc<Mutex<Option<prost_types::Timestamp>>>,
    /// Visitors whose minted tokens are over.
    pub(crate) revoked: Arc<Mutex<Vec<RevokedVisitor>>>,
    /// Sessions that were ended, and what was asked to end one.
    pub(crate) ended: Arc<Mutex<Vec<String>>>,
    pub(crate) endings: Arc<Mutex<Vec<EndSessionRequest>>>,
    /// Whether changes take longer to be true everywhere than anybody waits.
    pub(crate) is_slow: Arc<AtomicBool>,
    /// What a method is answered instead, if anything.
    broken: Arc<Mutex<HashMap<&'static str, ApiError>>>,
    calls: Arc<Mutex<Vec<String>>>,
    /// How long the leases are that it grants; 0 where it grants none, so that every call is looked up.
    lease_ms: Arc<AtomicU32>,
    revision: Arc<AtomicU64>,
    /// Streams to push to, and what came up them.
    watchers: Arc<Mutex<Vec<Watcher>>>,
    heard: Arc<Mutex<Vec<Message>>>,
    /// Taken by each `GetTenant` between reading and answering, and by each `GetSigningKeys`.
    gate: Arc<tokio::sync::RwLock<()>>,
    keys_gate: Arc<tokio::sync::RwLock<()>>,
    /// The key set that is answered, where it is not [`jwks`].
    pub(crate) key_set: Arc<Mutex<Option<&'static str>>>,
}

/// What a tenant's pages may do.
#[derive(Clone, Default)]
pub(crate) struct FakeWidgetAccess {
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) widgets: HashMap<String, Widget>,
}

/// What signs tokens here.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A token as the admin service would sign it, with claims added or replaced.
pub(crate) fn visitor_token(tenant: &Tenant, claims: &Value) -> String {
    let mut all = json!({
        "iss": "chat-relay", "aud": "chat-widget-session", "sub": SessionId::generate().to_string(),
        "iat": now_unix_ms() / 1000, "exp": now_unix_ms() / 1000 + 3600, "tenant_id": tenant.id, "role": "visitor",
        "widget_key": tenant.widget_public_key, "origin": PAGE,
    });
    for (claim, value) in claims.as_object().expect("claims") {
        all[claim] = value.clone();
    }
    let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", segment(&json!({"alg": "EdDSA", "kid": "k1"})), segment(&all));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signing_key().sign(text.as_bytes()).to_bytes()))
}

impl FakeAdmin {
    fn called<T>(&self, method: &'static str, request: &Rpc<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(token, format!("Bearer {GRPC_TOKEN}"), "{method} without the token");
        assert!(request.metadata().get("x-request-id").is_some(), "{method} without a request id");
        // Watching goes on all the time and is no call of anybody's.
        if method != "Watch" {
            self.calls.lock().expect("not poisoned").push(method.to_owned());
        }
        match self.broken.lock().expect("not poisoned").get(method) {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        }
    }

    /// Answers a method with this from now on.
    pub(crate) fn break_method(&self, method: &'static str, error: ApiError) {
        self.broken.lock().expect("not poisoned").insert(method, error);
    }

    pub(crate) fn mend(&self) {
        self.broken.lock().expect("not poisoned").clear();
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("not poisoned").clone()
    }

    /// Everything said on watch streams so far.
    pub(crate) fn heard(&self) -> Vec<Message> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// Holds every `GetSigningKeys` back, once it has read what it will answer, until the guard is dropped.
    pub(crate) async fn hold_signing_keys(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.keys_gate).write_owned().await
    }

    /// Holds every `GetTenant` back, once it has read what it will answer, and every `MintVisitorToken`, until the guard is dropped.
    pub(crate) async fn hold_lookups(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    pub(crate) fn lookups(&self) -> usize {
        self.calls().iter().filter(|call| *call == "GetTenant").count()
    }

    /// Grants leases of this length from now on; 0 grants none.
    pub(crate) fn lease(&self, ms: u32) {
        self.lease_ms.store(ms, Ordering::SeqCst);
    }

    fn position(&self) -> Position {
        let revision = self.revision.load(Ordering::SeqCst);
        Position { revision, mark: revision.to_be_bytes().repeat(2) }
    }

    fn push(&self, response: &WatchResponse) {
        for watcher in self.watchers.lock().expect("not poisoned").iter() {
            let _ = watcher.try_send(Ok(response.clone()));
        }
    }

    /// Pushes that a tenant has changed, or that anything may have, and waits until it is acknowledged.
    pub(crate) async fn push_change(&self, tenant: Option<&Tenant>) {
        self.push_changes(tenant.into_iter().map(id_of).collect()).await;
    }

    /// The same for a change of the signing keys.
    pub(crate) async fn push_change_of_keys(&self) {
        self.push_changes(vec![TenantId::DEPLOYMENT.as_uuid().as_bytes().to_vec()]).await;
    }

    async fn push_changes(&self, tenant_ids: Vec<Vec<u8>>) {
        let after = self.revision.fetch_add(1, Ordering::SeqCst);
        let start_over = tenant_ids.is_empty();
        let changes = Changes { after, through: Some(self.position()), tenant_ids, start_over };
        self.push(&WatchResponse { changes: Some(changes), grant: None });
        self.until_acknowledged(after + 1).await;
    }

    pub(crate) async fn until_acknowledged(&self, revision: u64) {
        let acknowledged = |message: &Message| matches!(message, Message::Acknowledge(it) if it.through >= revision);
        self.until_heard(acknowledged).await;
    }

    pub(crate) async fn until_heard(&self, expected: impl Fn(&Message) -> bool) {
        let deadline = std::time::Instant::now() + e2e::process::PATIENCE;
        while !self.heard().iter().any(&expected) {
            assert!(std::time::Instant::now() < deadline, "it was not said: {:?}", self.heard());
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn set(&self, tenant: &Tenant, change: impl FnOnce(&mut TenantState)) {
        let id = id_of(tenant);
        let mut states = self.states.lock().expect("not poisoned");
        change(states.entry(id.clone()).or_insert_with(|| TenantState {
            tenant_id: id,
            status: TenantStatus::Active.into(),
            hmac_key: tenant.secret.clone().into_bytes(),
            rate_limit_per_min: 1000,
            revision: 1,
            file_upload_enabled: Some(true),
            ..TenantState::default()
        }));
    }
}

impl FakeAdmin {
    /// Changes what a tenant's pages may do; from the start its own key lets [`PAGE`] in.
    pub(crate) fn widget_access(&self, tenant: &Tenant, change: impl FnOnce(&mut FakeWidgetAccess)) {
        change(self.accesses.lock().expect("not poisoned").entry(id_of(tenant)).or_insert_with(|| {
            let widget = Widget {
                key_id: vec![7; 16],
                allowed_domains: Vec::new(),
                rate_limit_per_hour: 1000,
                config_json: json!({"bot_id": "b1", "customization": {"theme_color": "#2563EB"}}).to_string(),
            };
            FakeWidgetAccess {
                allowed_origins: vec![PAGE.to_owned()],
                widgets: HashMap::from([(tenant.widget_public_key.clone(), widget)]),
            }
        }));
    }
}

#[tonic::async_trait]
impl Visitors for FakeAdmin {
    async fn open_session(&self, request: Rpc<OpenSessionRequest>) -> Result<Answer<OpenSessionResponse>, Status> {
        self.called("OpenSession", &request)?;
        let request = request.into_inner();
        // What was asked for, to be read by the test.
        let token = format!(
            "{}|{}|{}|{}|{}",
            request.origin,
            request.locale,
            request.mode,
            request.routing_key.unwrap_or_default(),
            request.metadata_json
        );
        Ok(Answer::new(OpenSessionResponse { session_id: "vs_1".into(), token, expires_at: later() }))
    }

    async fn refresh_token(&self, request: Rpc<RefreshTokenRequest>) -> Result<Answer<RefreshTokenResponse>, Status> {
        self.called("RefreshToken", &request)?;
        let token = request.into_inner().session_id;
        Ok(Answer::new(RefreshTokenResponse { token, expires_at: later() }))
    }

    async fn admit_visitor(&self, request: Rpc<AdmitVisitorRequest>) -> Result<Answer<Session>, Status> {
        self.called("AdmitVisitor", &request)?;
        let AdmitVisitorRequest { visitor_user_id, generation, .. } = request.into_inner();
        let revoked = self.revoked.lock().expect("not poisoned");
        if revoked.iter().any(|visitor| visitor.visitor_user_id == visitor_user_id && generation < visitor.generation) {
            return Err(ApiError::new(ErrorCode::InvalidVisitorToken, "revoked").into());
        }
        Ok(Answer::new(Session {
            session_id: format!("vs_{}", "7".repeat(32)),
            bot_id: "b1".into(),
            locale: "fr".into(),
            metadata_json: "{}".into(),
            mode: "bot".into(),
            ..Session::default()
        }))
    }

    async fn list_revoked_visitors(
        &self,
        request: Rpc<ListRevokedVisitorsRequest>,
    ) -> Result<Answer<ListRevokedVisitorsResponse>, Status> {
        self.called("ListRevokedVisitors", &request)?;
        let after = request.into_inner().after;
        let revoked = self.revoked.lock().expect("not poisoned");
        let revoked = revoked.iter().filter(|visitor| visitor.generation > after).cloned().collect();
        Ok(Answer::new(ListRevokedVisitorsResponse { revoked }))
    }

    async fn revoke_visitor(
        &self,
        request: Rpc<RevokeVisitorRequest>,
    ) -> Result<Answer<RevokeVisitorResponse>, Status> {
        self.called("RevokeVisitor", &request)?;
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(request.into_inner().wait_ms.into())).await;
        }
        Ok(Answer::new(RevokeVisitorResponse { revoked_at: later(), is_everywhere }))
    }

    async fn end_session(&self, request: Rpc<EndSessionRequest>) -> Result<Answer<EndSessionResponse>, Status> {
        self.called("EndSession", &request)?;
        let request = request.into_inner();
        self.endings.lock().expect("not poisoned").push(request.clone());
        let is_everywhere = !self.is_slow.load(Ordering::SeqCst);
        if !is_everywhere {
            tokio::time::sleep(std::time::Duration::from_millis(request.wait_ms.into())).await;
        }
        Ok(Answer::new(EndSessionResponse { session_id: "vs_1".into(), is_everywhere }))
    }

    async fn list_ended_sessions(
        &self,
        request: Rpc<ListEndedSessionsRequest>,
    ) -> Result<Answer<ListEndedSessionsResponse>, Status> {
        self.called("ListEndedSessions", &request)?;
        let session_ids = self.ended.lock().expect("not poisoned").clone();
        Ok(Answer::new(ListEndedSessionsResponse { session_ids }))
    }

    async fn get_session(&self, request: Rpc<GetSessionRequest>) -> Result<Answer<Session>, Status> {
        self.called("GetSession", &request)?;
        Ok(Answer::new(Session {
            session_id: request.into_inner().session_id,
            bot_id: "b1".into(),
            locale: "fr".into(),
            metadata_json: json!({"page_url": "https://shop.demo.com/cart"}).to_string(),
            routing_key: None,
            mode: "bot".into(),
            created_at: later(),
            expires_at: self.session_ends.lock().expect("not poisoned").or_else(later),
        }))
    }
}

fn id_of(tenant: &Tenant) -> Vec<u8> {
    tenant.id.parse::<TenantId>().expect("an id").as_uuid().as_bytes().to_vec()
}

#[tonic::async_trait]
impl TenantDirectory for FakeAdmin {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, request: Rpc<Streaming<WatchRequest>>) -> Result<Answer<Self::WatchStream>, Status> {
        self.called("Watch", &request)?;
        let (to, answers) = mpsc::channel(64);
        self.watchers.lock().expect("not poisoned").push(to.clone());
        let (admin, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(WatchRequest { message: Some(message) })) = requests.message().await {
                admin.heard.lock().expect("not poisoned").push(message.clone());
                let lease_ms = admin.lease_ms.load(Ordering::SeqCst);
                if let (Message::Ask(ask), 1..) = (message, lease_ms) {
                    let after = ask.seen.map_or(0, |seen| seen.revision);
                    let changes = Changes {
                        after,
                        through: Some(admin.position()),
                        tenant_ids: Vec::new(),
                        start_over: after == 0,
                    };
                    let grant = Some(Grant { id: ask.id, lease_ms });
                    let _ = to.send(Ok(WatchResponse { changes: Some(changes), grant })).await;
                }
            }
            admin.watchers.lock().expect("not poisoned").clear();
        });
        Ok(Answer::new(ReceiverStream::new(answers)))
    }

    async fn get_tenant(&self, request: Rpc<GetTenantRequest>) -> Result<Answer<GetTenantResponse>, Status> {
        self.called("GetTenant", &request)?;
        let tenant = self.states.lock().expect("not poisoned").get(&request.into_inner().tenant_id).cloned();
        let revision = self.revision.load(Ordering::SeqCst);
        let _held_back = self.gate.read().await;
        Ok(Answer::new(GetTenantResponse { tenant, revision }))
    }

    async fn get_widget(&self, request: Rpc<GetWidgetRequest>) -> Result<Answer<GetWidgetResponse>, Status> {
        self.called("GetWidget", &request)?;
        let GetWidgetRequest { tenant_id, widget_public_key } = request.into_inner();
        let accesses = self.accesses.lock().expect("not poisoned");
        let access = accesses.get(&tenant_id).cloned().unwrap_or_default();
        let widget = access.widgets.get(&widget_public_key).cloned();
        Ok(Answer::new(GetWidgetResponse { allowed_origins: access.allowed_origins, widget }))
    }

    async fn get_tenant_info(&self, request: Rpc<GetTenantInfoRequest>) -> Result<Answer<TenantInfo>, Status> {
        self.called("GetTenantInfo", &request)?;
        let tenant_id = TenantId::from_slice(&request.into_inner().tenant_id).expect("16 bytes").to_string();
        Ok(Answer::new(TenantInfo { tenant_id, tenant_name: "Fake".into(), agent_seats: 3, ..TenantInfo::default() }))
    }
}

fn later() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 })
}

#[tonic::async_trait]
impl Identity for FakeAdmin {
    async fn provision_operator(
        &self,
        request: Rpc<ProvisionOperatorRequest>,
    ) -> Result<Answer<ProvisionOperatorResponse>, Status> {
        self.called("ProvisionOperator", &request)?;
        let request = request.into_inner();
        let created = request.routing_keys.is_some();
        let operator = Operator {
            operator_id: "op-1".into(),
            tenant_id: TenantId::from_slice(&request.tenant_id).expect("16 bytes").to_string(),
            email: request.email,
            display_name: request.display_name,
            routing_keys: request.routing_keys.map(|keys| keys.items).unwrap_or_default(),
            avatar_url: request.avatar_url,
            created_at: later(),
            updated_at: later(),
        };
        Ok(Answer::new(ProvisionOperatorResponse { operator: Some(operator), created }))
    }

    async fn issue_operator_token(
        &self,
        request: Rpc<IssueOperatorTokenRequest>,
    ) -> Result<Answer<IssueOperatorTokenResponse>, Status> {
        self.called("IssueOperatorToken", &request)?;
        let operator = Operator { operator_id: "op-1".into(), ..Operator::default() };
        Ok(Answer::new(IssueOperatorTokenResponse {
            operator: Some(operator),
            token: "jwt".into(),
            expires_at: later(),
        }))
    }

    async fn mint_visitor_token(
        &self,
        request: Rpc<MintVisitorTokenRequest>,
    ) -> Result<Answer<MintVisitorTokenResponse>, Status> {
        self.called("MintVisitorToken", &request)?;
        let _passing = self.gate.read().await;
        Ok(Answer::new(MintVisitorTokenResponse {
            token: request.into_inner().ttl_seconds.to_string(),
            expires_at: later(),
        }))
    }

    async fn get_signing_keys(
        &self,
        request: Rpc<GetSigningKeysRequest>,
    ) -> Result<Answer<GetSigningKeysResponse>, Status> {
        self.called("GetSigningKeys", &request)?;
        let keys = self.key_set.lock().expect("not poisoned").map_or_else(jwks, str::to_owned);
        let _held_back = self.keys_gate.read().await;
        Ok(Answer::new(GetSigningKeysResponse { jwks_json: keys }))
    }
}

pub(crate) fn jwks() -> String {
    let x = URL_SAFE_NO_PAD.encode(signing_key().verifying_key().to_bytes());
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": x});
    json!({"keys": [key]}).to_string()
}

/// A call that reached the backend.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) method: String,
    pub(crate) path_and_query: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

type Answering = Arc<dyn Fn(&Arrived) -> Response + Send + Sync>;

/// The chat backend: it knows HMAC#2, and answers one thing at a time.
#[derive(Clone)]
pub(crate) struct FakeBackend {
    answer: Arc<Mutex<Option<Answering>>>,
    /// Visitors' sockets that the gateway has opened, for a test to speak on.
    sockets: mpsc::UnboundedSender<BackendSocket>,
    pub(crate) arrived: Arc<Mutex<Vec<Arrived>>>,
}

/// The backend's end of a visitor's socket.
pub(crate) struct BackendSocket {
    /// Who acts, under HMAC#2.
    pub(crate) actor: String,
    /// Whose visitor it is.
    pub(crate) tenant_id: String,
    socket: Socket,
}

impl BackendSocket {
    /// The next frame; `None` where the gateway has closed.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        loop {
            let next =
                tokio::time::timeout(e2e::process::PATIENCE, self.socket.next()).await.expect("something is said");
            match next {
                Some(Ok(WsMessage::Text(text))) => return Some(serde_json::from_str(&text).expect("frames are JSON")),
                Some(Ok(WsMessage::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        self.send(WsMessage::text(frame.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: WsMessage) {
        self.socket.send(message).await.expect("it is sent");
    }

    /// Whether it takes this within so long.
    pub(crate) async fn takes(&mut self, message: WsMessage, within: std::time::Duration) -> bool {
        matches!(tokio::time::timeout(within, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Breaks the connection.
    pub(crate) fn drop_connection(self) {
        drop(self.socket);
    }
}

impl FakeBackend {
    /// What calls are answered from now on. Without it a call that arrives is a surprise.
    pub(crate) fn answers(&self, answer: impl Fn(&Arrived) -> Response + Send + Sync + 'static) {
        *self.answer.lock().expect("not poisoned") = Some(Arc::new(answer));
    }

    pub(crate) fn count(&self) -> usize {
        self.arrived.lock().expect("not poisoned").len()
    }

    pub(crate) fn last(&self) -> Arrived {
        self.arrived.lock().expect("not poisoned").last().cloned().expect("a call arrived")
    }
}

async fn answer_as_told(State(backend): State<FakeBackend>, mut request: Request) -> Response {
    let socket = (request.uri().path() == "/ws/visitor").then(|| websocket::accept(&mut request).expect("a handshake"));
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    let text = |name: &str| {
        let mut values = parts.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("{name} is missing")).to_str().expect("text").to_owned();
        assert!(values.next().is_none(), "{name} twice");
        value
    };
    let path_and_query = parts.uri.path_and_query().expect("a path").to_string();
    let (timestamp, tenant_id, actor) = (text("x-relay-timestamp"), text("x-relay-tenant-id"), text("x-relay-actor"));
    let call = RelayedCall {
        timestamp: &timestamp,
        method: parts.method.as_str(),
        path_and_query: &path_and_query,
        tenant_id: &tenant_id,
        actor: &actor,
    };
    let signature = Signature::from_hex(text("x-relay-signature").as_bytes()).expect("a signature");
    assert!(
        RelayKey::new(RELAY_SECRET.as_bytes()).verify(&call, &BodyDigest::of(&body), &signature),
        "HMAC#2 is wrong"
    );
    if let Some((upgrading, response)) = socket {
        tokio::spawn(async move {
            let upgraded = upgrading.await.expect("upgraded");
            let socket = websocket::socket(upgraded, Role::Server, 16 * 1024 * 1024, None).await;
            let _ = backend.sockets.send(BackendSocket { actor, tenant_id, socket });
        });
        return response;
    }
    let arrived = Arrived { method: parts.method.to_string(), path_and_query, headers: parts.headers, body };
    backend.arrived.lock().expect("not poisoned").push(arrived.clone());
    let answer = backend.answer.lock().expect("not poisoned").clone();
    match answer {
        Some(answer) => answer(&arrived),
        None => panic!("a surprise: {arrived:?}"),
    }
}

/// A gateway and what it stands between.
pub(crate) struct Fixture {
    pub(crate) relay: SocketAddr,
    pub(crate) admin: FakeAdmin,
    pub(crate) backend: FakeBackend,
    pub(crate) tenant: Tenant,
    pub(crate) client: reqwest::Client,
    pub(crate) stopping: CancellationToken,
    pub(crate) running: Running,
    pub(crate) metrics: Metrics,
    /// The backend's ends of visitors' sockets, as they come.
    pub(crate) sockets: mpsc::UnboundedReceiver<BackendSocket>,
    grpc: SocketAddr,
    backend_address: SocketAddr,
}

pub(crate) async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// An address where nobody listens, nor can while the socket is kept.
pub(crate) fn nobody() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

pub(crate) fn tenant() -> Tenant {
    Tenant {
        id: TenantId::generate().to_string(),
        secret: format!("sk_{}", "s".repeat(43)),
        widget_public_key: format!("pk_{}", "p".repeat(32)),
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A gateway that may cache: its admin service grants leases.
    pub(crate) async fn leased() -> Self {
        Self::leased_for(LEASE_MS).await
    }

    pub(crate) async fn leased_for(lease_ms: u32) -> Self {
        Self::leased_with(lease_ms, &[]).await
    }

    pub(crate) async fn leased_with(lease_ms: u32, extra: &[(&str, &str)]) -> Self {
        let fixture = Self::starting(lease_ms, extra).await;
        world::until_ready(fixture.relay).await;
        fixture
    }

    /// With further variables for the gateway; they win over the fakes' own addresses.
    pub(crate) async fn with(extra: &[(&str, &str)]) -> Self {
        Self::starting(0, extra).await
    }

    async fn starting(lease_ms: u32, extra: &[(&str, &str)]) -> Self {
        let admin = FakeAdmin::default();
        admin.lease(lease_ms);
        admin.revision.store(1, Ordering::SeqCst);
        let (listener, grpc) = loopback().await;
        let services = tonic::transport::Server::builder()
            .add_service(TenantDirectoryServer::new(admin.clone()))
            .add_service(IdentityServer::new(admin.clone()))
            .add_service(VisitorsServer::new(admin.clone()));
        tokio::spawn(services.serve_with_incoming(TcpIncoming::from(listener)));

        let (to, sockets) = mpsc::unbounded_channel();
        let backend = FakeBackend { answer: Arc::default(), sockets: to, arrived: Arc::default() };
        let (listener, backend_address) = loopback().await;
        let router = Router::new().fallback(answer_as_told).with_state(backend.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut variables = world::gateway_environment(grpc, backend_address);
        // Backends here count calls and connections: the test of the check turns it on.
        variables.insert("GATEWAY_CHECK_BACKEND_AT_START".to_owned(), "false".to_owned());
        // What is away here stays away.
        variables.insert("GATEWAY_DIRECTORY_PATIENCE_MS".to_owned(), "0".to_owned());
        variables.extend(world::environment(extra));
        let config =
            Config::load(&Sources { args: Vec::new(), env: variables.into_iter().collect() }).expect("a configuration");
        let (metrics, stopping) = (Metrics::default(), CancellationToken::new());
        let http_metrics = HttpServerMetrics::new(&metrics);
        let running = server::start(config, &metrics, http_metrics, stopping.clone()).await.expect("it starts");
        let tenant = tenant();
        admin.set(&tenant, |_| {});
        admin.widget_access(&tenant, |_| {});
        Self {
            relay: running.public,
            admin,
            backend,
            tenant,
            client: reqwest::Client::new(),
            stopping,
            running,
            metrics,
            sockets,
            grpc,
            backend_address,
        }
    }

    /// Where the fake admin service listens.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// Where the fake backend listens.
    pub(crate) fn backend_url(&self) -> String {
        format!("http://{}", self.backend_address)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/relay/{path}", self.relay)
    }

    /// A signed call of the tenant's.
    pub(crate) fn signed(&self, method: http::Method, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.tenant.request(&self.client, method, &self.url(path), body)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.signed(http::Method::POST, path, body)
    }

    /// What `/metrics` would show.
    pub(crate) fn shown_metrics(&self) -> String {
        let mut text = String::new();
        self.metrics
            .register(|registry| prometheus_client::encoding::text::encode(&mut text, registry))
            .expect("encodes");
        text
    }
}

/// An answer's status and `error_code`.
pub(crate) async fn refusal(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    assert!(answer.headers().contains_key("x-request-id"));
    let body: serde_json::Value = answer.json().await.expect("an envelope");
    assert_eq!(body["status_code"], status, "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (status, body["error_code"].as_str().expect("a code").to_owned())
}

pub(crate) fn ok(body: impl Into<Body>) -> Response {
    Response::new(body.into()).into_response()
}
