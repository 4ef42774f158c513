//! Visitors' sockets: who may have one, for how long, and what closes it. Contract, section 5.
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
use service::{serve::Peer, websocket::{self, Socket}};
use wire::{SessionId, request_id::RequestId};
use tokio::{
    io::AsyncReadExt as _,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    admin_client::AdminClient,
    backend::Backend,
    config::SocketConfig,
    directory::{LeaseView, TenantDirectory},
    domain::token::{Opens, VisitorToken},
    limits::{Limits, network},
    metrics::{GatewayMetrics, SocketMetrics},
    signing_keys::SigningKeys,
};

mod closing;
mod judging;
mod registry;
mod relay;

pub(crate) use closing::Closing;
use judging::Admitted;
use registry::{Directive, Registry, Seat};
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

/// Who comes.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) token: VisitorToken,
    pub(crate) client: IpAddr,
    pub(crate) request_id: RequestId,
    /// What its session is counted as: all sockets of one visitor are counted together.
    counted_as: SessionId,
}

impl Visit {
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
pub(crate) struct Behind<D> {
    pub(crate) directory: D,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) lease: LeaseView,
    pub(crate) admin: AdminClient,
    pub(crate) backend: Arc<Backend>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) refusals: GatewayMetrics,
}

impl<D: TenantDirectory> Sockets<D> {
    pub(crate) fn new(config: SocketConfig, behind: Behind<D>, metrics: SocketMetrics) -> Self {
        let Behind { directory, signing_keys, lease, admin, backend, limits, refusals } = behind;
        let (registry, tasks) = (Arc::new(Registry::new(config.limits)), TaskTracker::new());
        Self { config, registry, directory, signing_keys, lease, admin, backend, limits, metrics, refusals, tasks }
    }

    /// Speaks with a browser, once its connection is a WebSocket: until either side leaves, or something forbids it. A visit
    /// that was refused is told why.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        upgrading: hyper::upgrade::OnUpgrade,
        peer: Option<Peer>,
        visit: Result<Visit, Closing>,
    ) {
        let this = Arc::clone(self);
        let span = match &visit {
            // For log lines alone: a trace that ends hours later helps nobody, nor does a request's that stays open so long.
            Ok(visit) => tracing::info_span!(
                parent: None,
                "socket",
                tenant_id = %visit.token.tenant_id,
                session = %visit.counted_as,
                request_id = visit.request_id.as_str(),
            ),
            Err(_) => tracing::debug_span!(parent: None, "socket"),
        };
        let speaking = async move {
            let upgraded = match upgrading.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "a connection that was to become a socket ended"),
            };
            let admit = visit.as_ref().ok().map(|visit| this.count_frames(visit.counted_as));
            let mut browser = websocket::socket(upgraded, Role::Server, this.config.frame_limit, admit).await;
            let closing = match visit {
                Ok(visit) => this.speak(&mut browser, &visit).await,
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

    /// Holds a seat for as long as anything passes.
    async fn speak(&self, browser: &mut Socket, visit: &Visit) -> Closing {
        let seat = match self.registry.take(visit) {
            Ok(seat) => seat,
            Err(closing) => {
                say_goodbye(browser, &closing).await;
                return closing;
            }
        };
        let Some(place) = self.limits.sockets.take(network(visit.client)) else {
            let closing = Closing::TooFast("this address has as many sockets as it may: close one");
            say_goodbye(browser, &closing).await;
            return closing;
        };
        let _open = self.metrics.open();
        let mut told = seat.directive.clone();
        let closing = tokio::select! {
            biased;
            // Wherever the conversation is, it stops here.
            told = told.wait_for(|directive| directive.close.is_some()) => {
                told.ok().and_then(|directive| directive.close.clone()).unwrap_or(Closing::Restarting)
            }
            closing = self.converse(browser, visit, &seat) => closing,
        };
        say_goodbye(browser, &closing).await;
        // Whoever waits for this socket to be closed waits for both to go.
        drop(told);
        drop((seat, place));
        closing
    }

    async fn converse(&self, browser: &mut Socket, visit: &Visit, seat: &Seat) -> Closing {
        let admitted = match self.admit(visit, seat).await {
            Ok(admitted) => admitted,
            Err(closing) => {
                if matches!(closing, Closing::Token | Closing::Forbidden(_)) {
                    let _ = self.limits.visitor_failures.count(visit.client, std::time::Instant::now());
                }
                return closing;
            }
        };
        let tenant_id = visit.token.tenant_id;
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
                let directive = seat.directive.clone();
                let backend = &mut backend;
                let grounds = seat.grounds();
                Relay { sockets: self, visit, grounds, browser, backend, directive, ends_at_ms, welcomed: false }
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
            socket.directive.send_modify(|directive| directive.close = Some(Closing::Restarting));
            closing.push(socket.directive);
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

async fn all_closed(sockets: &[watch::Sender<Directive>]) {
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
