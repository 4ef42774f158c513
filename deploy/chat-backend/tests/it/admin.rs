//! An admin service of a test's own: it verifies what is published, and answers as the test says.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};
use wire::{
    TenantId,
    signature::{BodyDigest, RelayKey, RelayedCall, Signature, WINDOW_MS},
    time::now_unix_ms,
};

use crate::support::FIRST_SECRET;

/// More than there are calls at once.
const PERMITS: usize = 1000;

/// What the admin service does with a call.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Take,
    /// Takes it, and its answer is lost on the way.
    TakeUnheard,
    Refuse(u16, &'static str),
}

type Decide = Box<dyn FnMut(TenantId, &Value) -> Answer + Send>;

/// What the admin service has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Events in the order in which they came, each once.
    pub(crate) events: Vec<(TenantId, Value)>,
    pub(crate) usage: Vec<(TenantId, Value)>,
    /// Every call's body, also of those that were refused.
    pub(crate) calls: Vec<(TenantId, Value)>,
}

impl Taken {
    /// The types of a tenant's events.
    pub(crate) fn types(&self, tenant: TenantId) -> Vec<&str> {
        self.of(tenant).map(|event| event["event_type"].as_str().expect("a type")).collect()
    }

    /// A tenant's events.
    pub(crate) fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |(of, _)| *of == tenant).map(|(_, event)| event)
    }
}

struct Shared {
    decide: Mutex<Decide>,
    taken: watch::Sender<Taken>,
    /// Answers that may be given.
    open: Semaphore,
}

pub(crate) struct Admin {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

impl Admin {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            decide: Mutex::new(Box::new(|_, _| Answer::Take)),
            taken: watch::channel(Taken::default()).0,
            open: Semaphore::new(PERMITS),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/base", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(publish).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, shared }
    }

    /// Decides from now on what it answers.
    pub(crate) fn decide(&self, decide: impl FnMut(TenantId, &Value) -> Answer + Send + 'static) {
        *self.shared.decide.lock().expect("not poisoned") = Box::new(decide);
    }

    /// Answers nothing until [`Admin::resume`].
    pub(crate) fn hold(&self) {
        self.shared.open.forget_permits(PERMITS);
    }

    pub(crate) fn resume(&self) {
        self.shared.open.add_permits(PERMITS);
    }

    pub(crate) fn taken(&self) -> Taken {
        self.shared.taken.borrow().clone()
    }

    /// Waits until this holds of what it has.
    pub(crate) async fn until(&self, holds: impl Fn(&Taken) -> bool) -> Taken {
        let mut taken = self.shared.taken.subscribe();
        let found = timeout(Duration::from_secs(20), taken.wait_for(|taken| holds(taken))).await;
        match found {
            Ok(found) => found.expect("it is there").clone(),
            Err(_) => panic!("it never came to that: {:#?}", self.taken()),
        }
    }
}

async fn publish(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024 * 1024).await.expect("at most 1 MiB");
    let header = |name: &str| parts.headers[name].to_str().expect("text").to_owned();
    let (timestamp, tenant_id) = (header("x-relay-timestamp"), header("x-relay-tenant-id"));
    let call = RelayedCall {
        timestamp: &timestamp,
        method: parts.method.as_str(),
        path_and_query: "/base/internal/publish/events",
        tenant_id: &tenant_id,
        actor: "backend",
    };
    let signature = Signature::from_hex(header("x-relay-signature").as_bytes()).expect("64 digits");
    let key = RelayKey::new(FIRST_SECRET.as_bytes());
    let is_signed = key.verify(&call, &BodyDigest::of(&body), &signature);
    let is_now = (timestamp.parse::<i64>().expect("a number") - now_unix_ms()).abs() <= WINDOW_MS;
    if !is_signed || !is_now || parts.uri.path() != call.path_and_query || header("x-relay-actor") != call.actor {
        return refuse(401, "invalid_relay_signature");
    }
    let (tenant, body): (TenantId, Value) =
        (tenant_id.parse().expect("an id"), serde_json::from_slice(&body).expect("JSON"));
    let (events, usage) = (body["events"].as_array().expect("a list"), body["usage"].as_array().expect("a list"));
    assert!(events.len() <= 100 && usage.len() <= 100 && events.len() + usage.len() > 0);
    shared.taken.send_modify(|taken| taken.calls.push((tenant, body.clone())));

    let permit = shared.open.acquire().await.expect("open");
    drop(permit);
    let answer = (shared.decide.lock().expect("not poisoned"))(tenant, &body);
    match answer {
        Answer::Refuse(status, code) => return refuse(status, code),
        Answer::Take | Answer::TakeUnheard => shared.taken.send_modify(|taken| {
            for event in events {
                let known = taken.events.iter().find(|(_, known)| known["event_id"] == event["event_id"]);
                match known {
                    Some((_, known)) => assert_eq!(known, event, "an event is sent again as it was"),
                    None => taken.events.push((tenant, event.clone())),
                }
            }
            for message in usage {
                if !taken.usage.iter().any(|(_, known)| known["message_id"] == message["message_id"]) {
                    taken.usage.push((tenant, message.clone()));
                }
            }
        }),
    }
    if matches!(answer, Answer::TakeUnheard) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let items: Vec<_> = events.iter().map(|event| json!({"event_id": event["event_id"], "seq": 1})).collect();
    Json(json!({"success": true, "status_code": 200, "data": {"items": items}})).into_response()
}

fn refuse(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let body = json!({"success": false, "status_code": status.as_u16(), "error_code": code, "message": "No."});
    (status, Json(body)).into_response()
}
