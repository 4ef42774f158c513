//! The chat backend: it checks HMAC#2, and answers and says what a test told it to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use e2e::world::RELAY_SECRET;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use service::websocket::{self, Socket};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message as WsMessage, protocol::Role};
use wire::signature::{BodyDigest, RelayKey, RelayedCall, Signature};

use super::net::loopback;

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

    /// Sends a message, and answers whether the gateway took it in this time.
    pub(crate) async fn takes(&mut self, message: WsMessage, within: std::time::Duration) -> bool {
        matches!(tokio::time::timeout(within, self.socket.send(message)).await, Ok(Ok(())))
    }

    /// Breaks the connection.
    pub(crate) fn drop_connection(self) {
        drop(self.socket);
    }
}

impl FakeBackend {
    /// One that listens, where it does, and the sockets that gateways open to it.
    pub(crate) async fn start() -> (Self, SocketAddr, mpsc::UnboundedReceiver<BackendSocket>) {
        let (to, sockets) = mpsc::unbounded_channel();
        let backend = Self { answer: Arc::default(), sockets: to, arrived: Arc::default() };
        let (listener, address) = loopback().await;
        let router = Router::new().fallback(answer_as_told).with_state(backend.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (backend, address, sockets)
    }

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
    let socket = ["/ws/visitor", "/ws/operator"]
        .contains(&request.uri().path())
        .then(|| websocket::accept(&mut request).expect("a handshake"));
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        // The gateway has given an upload up.
        return Response::new(axum::body::Body::empty());
    };
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
    let key = RelayKey::new(RELAY_SECRET.as_bytes());
    // The one path whose bodies are not signed.
    let is_signed = match parts.uri.path() {
        "/upload/attachment" => key.verify_without_body(&call, &signature),
        _ => key.verify(&call, &BodyDigest::of(&body), &signature),
    };
    assert!(is_signed, "HMAC#2 is wrong");
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
