//! Visitors' sockets: who may have one, for how long, and what closes it. PROTOCOL.md, section 5.
//!
//! A socket is open under the same terms as a call is answered. While the lease is held, a change that forbids it closes it
//! before the change is acknowledged; without a lease each frame is judged anew, or waits.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use service::{
    edge::network,
    serve::Peer,
    websocket::{self, Socket},
};
use tokio::{
    io::AsyncReadExt as _,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;
use wire::{SessionId, request_id::RequestId};

use crate::{
    admin_client::AdminClient,
    backend::Backend,
    config::SocketConfig,
    directory::{LeaseView, TenantDirectory},
    domain::token::{Opens, VisitorToken},
    limits::Limits,
    metrics::{GatewayMetrics, SocketMetrics},
    signing_keys::SigningKeys,
};

mod asking;
mod changes;
mod closing;
mod frames;
mod grounds;
mod judging;
mod registry;
mod relay;

pub(crate) use closing::Closing;
use judging::Admitted;
use registry::{Registry, SocketCommand, SocketSlot};
use relay::Relay;

/// How long a close frame may take to be written: who reads nothing is not waited for.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long the browser then has to answer it, while nothing passes any more.
const LINGER: Duration = Duration::from_secs(1);

/// When the gateway stops, so long at most between one socket's close and the next one's.
const DRAIN_PACE: Duration = Duration::from_millis(10);

/// Visitors' sockets.
pub(crate) struct Sockets<D> {
    config: SocketConfig,
    registry: Arc<Registry>,
    directory: D,
    signing_keys: SigningKeys,
    lease: LeaseView,
    admin: AdminClient,
    backend: Arc<Backend>,
    limits: Arc<Limits>,
    metrics: SocketMetrics,
    refusals: GatewayMetrics,
    tasks: TaskTracker,
}

/// A visitor whose token was verified.
#[derive(Debug)]
pub(crate) struct AuthenticatedVisitor {
    pub(crate) token: VisitorToken,
    pub(crate) client: IpAddr,
    pub(crate) request_id: RequestId,
    /// What its session is counted as: all sockets of one visitor are counted together.
    counted_as: SessionId,
}

impl AuthenticatedVisitor {
    pub(crate) fn new(token: VisitorToken, client: IpAddr, request_id: RequestId) -> Self {
        let counted_as = match &token.opens {
            Opens::Session { session, .. } => *session,
            // What the admin service calls the session is not known yet, and here any name does.
            Opens::Minted { visitor_user_id, .. } => {
                static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
                let [high, low] = [0, 1].map(|key| KEYS[key].hash_one((token.tenant_id, visitor_user_id)));
                Uuid::from_u64_pair(high, low).into()
            }
        };
        Self { token, client, request_id, counted_as }
    }
}

/// What [`Sockets`] stand on.
pub(crate) struct SocketDeps<D> {
    pub(crate) directory: D,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) lease: LeaseView,
    pub(crate) admin: AdminClient,
    pub(crate) backend: Arc<Backend>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) refusals: GatewayMetrics,
}

impl<D: TenantDirectory> Sockets<D> {
    pub(crate) fn new(config: SocketConfig, deps: SocketDeps<D>, metrics: SocketMetrics) -> Self {
        let SocketDeps { directory, signing_keys, lease, admin, backend, limits, refusals } = deps;
        let (registry, tasks) = (Arc::new(Registry::new(config.limits)), TaskTracker::new());
        Self { config, registry, directory, signing_keys, lease, admin, backend, limits, metrics, refusals, tasks }
    }

    /// Speaks with a browser, once its connection is a WebSocket: until either side leaves, or something forbids it. A visitor
    /// who was refused is told why.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        upgrading: hyper::upgrade::OnUpgrade,
        peer: Option<Peer>,
        visitor: Result<AuthenticatedVisitor, Closing>,
    ) {
        let this = Arc::clone(self);
        let span = match &visitor {
            // For log lines alone: a trace that ends hours later helps nobody, nor does a request's that stays open so long.
            Ok(visitor) => tracing::info_span!(
                parent: None,
                "socket",
                tenant_id = %visitor.token.tenant_id,
                session = %visitor.counted_as,
                request_id = visitor.request_id.as_str(),
            ),
            Err(_) => tracing::debug_span!(parent: None, "socket"),
        };
        let speaking = async move {
            let upgraded = match upgrading.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "a connection that was to become a socket ended"),
            };
            let admit = visitor.as_ref().ok().map(|visitor| this.count_frames(visitor.counted_as));
            let mut browser = websocket::socket(upgraded, Role::Server, this.config.frame_limit, admit).await;
            let closing = match visitor {
                Ok(visitor) => this.speak(&mut browser, &visitor).await,
                Err(closing) => {
                    say_goodbye(&mut browser, &closing).await;
                    closing
                }
            };
            this.metrics.closed(closing.code());
            tracing::debug!(?closing, "socket closed");
            linger(&mut browser, &closing).await;
            drop(peer);
        };
        self.tasks.spawn(speaking.instrument(span));
    }

    /// Counts what a session sends, below the library that joins frames to messages.
    fn count_frames(&self, session: SessionId) -> websocket::Admit {
        let limits = Arc::clone(&self.limits);
        Box::new(move |frames, bytes| limits.admits_frames(session, frames, bytes, std::time::Instant::now()))
    }

    /// Holds a slot for as long as the socket is open.
    async fn speak(&self, browser: &mut Socket, visitor: &AuthenticatedVisitor) -> Closing {
        let slot = match self.registry.take(visitor) {
            Ok(slot) => slot,
            Err(closing) => {
                say_goodbye(browser, &closing).await;
                return closing;
            }
        };
        let Some(address_slot) = self.limits.sockets.take(network(visitor.client)) else {
            let closing = Closing::TooFast("this address has as many sockets as it may: close one");
            say_goodbye(browser, &closing).await;
            return closing;
        };
        let _open = self.metrics.open();
        let mut told = slot.command.clone();
        let closing = tokio::select! {
            biased;
            // Wherever the conversation is, it stops here.
            told = told.wait_for(|command| command.close.is_some()) => {
                told.ok().and_then(|command| command.close.clone()).unwrap_or(Closing::Restarting)
            }
            closing = self.converse(browser, visitor, &slot) => closing,
        };
        say_goodbye(browser, &closing).await;
        // A change that waits for this socket to close waits until both `told` and the slot are dropped.
        drop(told);
        drop((slot, address_slot));
        closing
    }

    async fn converse(&self, browser: &mut Socket, visitor: &AuthenticatedVisitor, slot: &SocketSlot) -> Closing {
        let admitted = match self.admit(visitor, slot).await {
            Ok(admitted) => admitted,
            Err(closing) => {
                if matches!(closing, Closing::Token | Closing::Forbidden(_)) {
                    let _ = self.limits.visitor_failures.count(visitor.client, std::time::Instant::now());
                }
                return closing;
            }
        };
        let tenant_id = visitor.token.tenant_id;
        let mut backend = match self.backend.open_socket(tenant_id, admitted.session).await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::debug!(cause = error.cause(), code = error.code().as_str(), "no socket to the chat backend");
                return Closing::BackendAway;
            }
        };
        let Admitted { hello, ends_at_ms, .. } = admitted;
        let closing = match timeout(self.config.send_timeout, backend.send(Message::text(hello))).await {
            Ok(Ok(())) => {
                let command = slot.command.clone();
                let backend = &mut backend;
                let grounds = slot.grounds();
                Relay { sockets: self, visitor, grounds, browser, backend, command, ends_at_ms, welcomed: false }
                    .run()
                    .await
            }
            _ => Closing::BackendAway,
        };
        let _ = timeout(FAREWELL, backend.close(None)).await;
        closing
    }

    /// Closes every socket, not all at once: their browsers come back, and are not to come back as one. Opens no more.
    pub(crate) async fn drain(&self, over: Duration) {
        let mut sockets = self.registry.close();
        fastrand::shuffle(&mut sockets);
        let begun = Instant::now();
        let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let pause = over.checked_div(count).unwrap_or_default().min(DRAIN_PACE);
        let mut closing = Vec::with_capacity(sockets.len());
        for (index, socket) in (0..).zip(sockets) {
            // By the clock: a pause may be shorter than what a timer can keep.
            tokio::time::sleep_until(begun + pause * index).await;
            socket.command.send_modify(|command| command.close = Some(Closing::Restarting));
            closing.push(socket.command);
        }
        all_closed(&closing).await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.registry.count()
    }
}

async fn all_closed(sockets: &[watch::Sender<SocketCommand>]) {
    join_all(sockets.iter().map(watch::Sender::closed)).await;
}

async fn say_goodbye(browser: &mut Socket, closing: &Closing) {
    if let Some(frame) = closing.frame() {
        let _ = timeout(FAREWELL, browser.close(Some(frame))).await;
    }
}

/// Gives the browser time to answer the close: who hangs up on data that was not read resets the connection, and the browser
/// never learns why.
async fn linger(browser: &mut Socket, closing: &Closing) {
    let _ = timeout(LINGER, async {
        if matches!(closing, Closing::TooLarge | Closing::Protocol | Closing::NotUtf8 | Closing::TooFast(_)) {
            // What was wrong was not read to its end, so nothing after it can be told apart.
            browser.get_mut().stop_counting();
            let mut rest = [0; 1024];
            while matches!(browser.get_mut().read(&mut rest).await, Ok(read) if read > 0) {}
        } else {
            while let Some(Ok(_)) = browser.next().await {}
        }
    })
    .await;
}
