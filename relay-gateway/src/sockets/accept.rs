//! A connection that becomes a socket: it takes its slot, its participant is judged, the chat backend is connected, and frames pass
//! until there is a reason to close. Knows no kind of participant.

use std::{sync::Arc, time::Duration};

use futures_util::SinkExt as _;
use service::{
    serve::Peer,
    websocket::{self, Socket},
};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wire::SessionId;

use super::{
    close::{FAREWELL, drain, linger, say_goodbye},
    closing::Closing,
    participant::{Admitted, Judge, Participant},
    pump::Pump,
    registry::{Registry, SocketSlot},
};
use crate::{
    backend::Backend,
    config::SocketConfig,
    limits::{Limits, SocketLimit},
    metrics::{GatewayMetrics, SocketMetrics},
};

/// The sockets of one kind of participants.
pub(crate) struct Sockets<P: Participant> {
    config: SocketConfig,
    pub(super) judge: Arc<P::Judge>,
    pub(super) registry: Arc<Registry<<P::Judge as Judge>::Grounds>>,
    backend: Arc<Backend>,
    limits: Arc<Limits>,
    metrics: SocketMetrics,
    refusals: GatewayMetrics,
    tasks: TaskTracker,
}

/// What [`Sockets`] stand on.
#[derive(Clone)]
pub(crate) struct SocketDeps {
    pub(crate) backend: Arc<Backend>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: SocketMetrics,
    pub(crate) refusals: GatewayMetrics,
}

type Slot<P> = SocketSlot<<<P as Participant>::Judge as Judge>::Grounds>;

impl<P: Participant> Sockets<P> {
    pub(crate) fn new(config: SocketConfig, judge: P::Judge, deps: SocketDeps) -> Self {
        let SocketDeps { backend, limits, metrics, refusals } = deps;
        let (judge, registry, tasks) = (Arc::new(judge), Arc::default(), TaskTracker::new());
        Self { config, judge, registry, backend, limits, metrics, refusals, tasks }
    }

    /// The judge of its participants.
    pub(crate) fn judge(&self) -> &Arc<P::Judge> {
        &self.judge
    }

    /// Serves a browser's socket once the connection is a WebSocket, until either side leaves or the gateway closes it. If the
    /// participant was refused, the browser gets a close code that says why.
    pub(crate) fn welcome(
        self: &Arc<Self>,
        upgrading: hyper::upgrade::OnUpgrade,
        peer: Option<Peer>,
        participant: Result<P, Closing>,
    ) {
        let this = Arc::clone(self);
        let span = match participant.as_ref().map(Participant::about) {
            // This span is for log lines alone, and has no parent: a trace helps nobody if it ends hours after its request.
            Ok(about) => tracing::info_span!(
                parent: None,
                "socket",
                tenant_id = %about.tenant_id,
                session = %about.counted_as,
                request_id = about.request_id.as_str(),
            ),
            Err(_) => tracing::debug_span!(parent: None, "socket"),
        };
        let speaking = async move {
            let upgraded = match upgrading.await {
                Ok(upgraded) => upgraded,
                Err(error) => return tracing::debug!(%error, "a connection ended before it became a socket"),
            };
            let admit = participant.as_ref().ok().map(|participant| this.count_frames(participant.about().counted_as));
            let mut browser = websocket::socket(upgraded, Role::Server, this.config.frame_limit, admit).await;
            let closing = match participant {
                Ok(participant) => this.speak(&mut browser, &participant).await,
                Err(closing) => refuse(&mut browser, closing).await,
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
    async fn speak(&self, browser: &mut Socket, participant: &P) -> Closing {
        let about = participant.about();
        let slot = match self.registry.take(about.tenant_id, participant.grounds()) {
            Ok(slot) => slot,
            Err(closing) => return refuse(browser, closing).await,
        };
        let place = match self.limits.take_socket(about.tenant_id, about.counted_as, about.client) {
            Ok(place) => place,
            Err(limit) => {
                drop(slot);
                return refuse(browser, too_many(limit)).await;
            }
        };
        let _open = self.metrics.open();
        let mut told = slot.command.clone();
        let closing = tokio::select! {
            biased;
            // Wherever the conversation is, it stops here.
            told = told.wait_for(|command| command.close.is_some()) => {
                told.ok().and_then(|command| command.close.clone()).unwrap_or(Closing::Restarting)
            }
            closing = self.converse(browser, participant, &slot) => closing,
        };
        say_goodbye(browser, &closing).await;
        // A change that waits for this socket to close waits until both `told` and the slot are dropped.
        drop(told);
        drop((slot, place));
        closing
    }

    async fn converse(&self, browser: &mut Socket, participant: &P, slot: &Slot<P>) -> Closing {
        let Admitted { path, actor, hello, ends_at_ms } = match participant.admit().await {
            Ok(admitted) => admitted,
            Err(closing) => return closing,
        };
        let mut backend = match self.backend.open_socket(participant.about().tenant_id, path, &actor).await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::debug!(cause = error.cause(), code = error.code().as_str(), "no socket to the chat backend");
                return Closing::BackendAway;
            }
        };
        let closing = match timeout(self.config.send_timeout, backend.send(Message::text(hello))).await {
            Ok(Ok(())) => {
                let pump = Pump {
                    config: self.config,
                    metrics: &self.metrics,
                    refusals: &self.refusals,
                    participant,
                    browser,
                    backend: &mut backend,
                    command: slot.command.clone(),
                    ends_at_ms,
                    welcomed: false,
                };
                pump.run().await
            }
            _ => Closing::BackendAway,
        };
        let _ = timeout(FAREWELL, backend.close(None)).await;
        closing
    }

    /// Closes every socket because the gateway stops, within about `over`. Opens no more.
    pub(crate) async fn drain(&self, over: Duration) {
        drain(self.registry.close(), over).await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.registry.count()
    }
}

async fn refuse(browser: &mut Socket, closing: Closing) -> Closing {
    say_goodbye(browser, &closing).await;
    closing
}

fn too_many(limit: SocketLimit) -> Closing {
    match limit {
        SocketLimit::All => Closing::TryAgain("the relay holds as many sockets as it may: connect again later"),
        SocketLimit::Tenant => Closing::TryAgain("the tenant has as many sockets as it may: connect again later"),
        SocketLimit::Session => Closing::TooFast("the session has as many sockets as it may: close one"),
        SocketLimit::Address => Closing::TooFast("this address has as many sockets as it may: close one"),
    }
}
