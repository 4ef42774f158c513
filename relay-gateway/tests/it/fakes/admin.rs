//! The admin service, as far as gateways know it: what a test sets, holds back, breaks and pushes. Its methods are in the files below.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use e2e::{signed::Tenant, visitor::PAGE, world::GRPC_TOKEN};
use proto::{
    directory::v1::{
        Changes, NotePreviousUsesRequest, OperatorMembership, Position, TenantState, TenantStatus, WatchResponse,
        Widget, watch_request::Message,
    },
    visitors::v1::{EndSessionRequest, IdentifyVisitorRequest, Identity, RevokedVisitor},
};
use serde_json::json;
use service::ApiError;
use tokio::sync::mpsc;
use tonic::{Request as Rpc, Status};
use uuid::Uuid;
use wire::TenantId;

mod directory;
mod events;
mod identity;
mod visitors;

pub(crate) use events::{EVENT_ID, EXPIRED_CURSOR, event_body};

type States = Arc<Mutex<HashMap<Vec<u8>, TenantState>>>;

/// Operators' memberships, by tenant and operator.
type Members = HashMap<(Vec<u8>, Vec<u8>), OperatorMembership>;

/// Tenants' ids, and what was asked about their events.
type EventsAsked = Arc<Mutex<Vec<(Vec<u8>, String)>>>;

type Watcher = mpsc::Sender<Result<WatchResponse, Status>>;

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
    /// What it was asked to identify visitors by.
    pub(crate) identified: Arc<Mutex<Vec<IdentifyVisitorRequest>>>,
    /// What it was told of previous secrets.
    pub(crate) previous_uses: Arc<Mutex<Vec<NotePreviousUsesRequest>>>,
    /// Who the visitor of every session is.
    pub(crate) identity: Arc<Mutex<Option<Identity>>>,
    /// Whether changes take longer to be true everywhere than anybody waits.
    pub(crate) is_slow: Arc<AtomicBool>,
    /// Whose events were asked for, and what was asked.
    events_asked: EventsAsked,
    /// What a method is answered instead, if anything.
    broken: Arc<Mutex<HashMap<&'static str, ApiError>>>,
    calls: Arc<Mutex<Vec<String>>>,
    /// How long the leases are that it grants; 0 where it grants none, so that every call is looked up.
    lease_ms: Arc<AtomicU32>,
    revision: Arc<AtomicU64>,
    /// Streams to push to, and what came up them.
    watchers: Arc<Mutex<Vec<Watcher>>>,
    heard: Arc<Mutex<Vec<Message>>>,
    members: Arc<Mutex<Members>>,
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

impl FakeAdmin {
    /// One that grants leases of this length; 0 grants none.
    pub(crate) fn granting(lease_ms: u32) -> Self {
        let admin = Self::default();
        admin.lease(lease_ms);
        admin.revision.store(1, Ordering::SeqCst);
        admin
    }

    fn called<T>(&self, method: &'static str, request: &Rpc<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(token, format!("Bearer {GRPC_TOKEN}"), "{method} without the token");
        assert!(request.metadata().get("x-request-id").is_some(), "{method} without a request id");
        // The watch stream runs all the time, so it is not counted among the calls that a test makes.
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
    /// Changes an operator's membership, and the tenant's count of such changes; from the start it is active, of version 0.
    pub(crate) fn member(&self, tenant: &Tenant, id: Uuid, change: impl FnOnce(&mut OperatorMembership)) {
        let mut members = self.members.lock().expect("not poisoned");
        change(members.entry((id_of(tenant), id.as_bytes().to_vec())).or_insert_with(|| OperatorMembership {
            email: "ada@acme.com".to_owned(),
            display_name: "Ada".to_owned(),
            routing_keys: vec!["sales".to_owned()],
            ..OperatorMembership::default()
        }));
        self.set(tenant, |state| state.operators_changed += 1);
    }

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

fn id_of(tenant: &Tenant) -> Vec<u8> {
    tenant.id.parse::<TenantId>().expect("an id").as_uuid().as_bytes().to_vec()
}

fn later() -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 })
}
