//! A tenant's receiver of events, which keeps what it got and when, and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
    routing::any,
};
use wire::signature::{BodyDigest, Signature, TenantKey};

/// How a receiver answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// With 200, after a while.
    Takes(Duration),
    /// With another status. A 429 asks for a pause of a second.
    Refuses(u16),
    /// Never.
    Hangs,
}

/// A request that the receiver got.
#[derive(Debug)]
pub struct Arrival {
    /// When it was there whole.
    pub at: Instant,
    /// When it was answered with 200, if it was.
    pub taken_at: Option<Instant>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Arrival {
    /// A header's text.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    /// The event's id.
    #[must_use]
    pub fn event_id(&self) -> &str {
        self.header("x-bloonio-event-id")
    }

    /// Whether it is signed with this secret.
    ///
    /// # Panics
    /// Where it is not signed at all.
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let signature = Signature::from_hex(self.header("x-bloonio-signature").as_bytes()).expect("a signature");
        let timestamp = self.header("x-bloonio-timestamp");
        TenantKey::new(secret.as_bytes()).verify(timestamp, &BodyDigest::of(&self.body), &signature)
    }
}

/// A receiver. Several tenants may share it, each with a path of its own.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

struct Shared<F> {
    manner: F,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Receiver {
    /// Starts one that answers a request for a path in this manner.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start(manner: impl Fn(&str) -> Manner + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
        let shared = Arc::new(Shared { manner, arrivals: Arc::clone(&arrivals) });
        let router = Router::new().fallback(any(receive)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, arrivals }
    }

    /// The callback base of a tenant that has this path.
    #[must_use]
    pub fn base(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What has arrived so far, in its order.
    ///
    /// # Panics
    /// Never: a receiver does not panic.
    pub fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.arrivals.lock().expect("not poisoned")
    }
}

async fn receive<F: Fn(&str) -> Manner + Send + Sync>(
    State(shared): State<Arc<Shared<F>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let index = {
        let mut arrivals = shared.arrivals.lock().expect("not poisoned");
        arrivals.push(Arrival { at: Instant::now(), taken_at: None, headers, body });
        arrivals.len() - 1
    };
    match (shared.manner)(uri.path()) {
        Manner::Takes(after) => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            shared.arrivals.lock().expect("not poisoned")[index].taken_at = Some(Instant::now());
            StatusCode::OK.into_response()
        }
        Manner::Refuses(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, [("retry-after", "1")]).into_response()
        }
        Manner::Hangs => std::future::pending().await,
    }
}
