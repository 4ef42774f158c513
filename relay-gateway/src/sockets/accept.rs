//! A connection that becomes a socket: it takes its slot, its participant is judged, the chat backend is connected, and frames pass
//! until there is a reason to close. Knows no kind of participant.

use std::{sync::Arc, time::Duration};

use futures_util::SinkExt as _;
use service::{
    serve::Peer,
    websocket::{self, Socket},
};
use tokio::{sync::watch, time::timeout};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wire::SessionId;

use super::{
    backend_end::BackendEnd,
    close::{FAREWELL, drain, linger, say_goodbye},
    closing::Closing,
    participant::{Admitted, Judge, Participant},
    pump::Pump,
    registry::{Registry, SocketCommand, SocketSlot},
};
use crate::{
    backend::Backend,
    config::SocketConfig,
    limits::{Limits, SocketLimit, SocketPlace},
    metrics::{GatewayMetrics, OpenSocket, SocketMetrics},
};

/// The sockets of one kind of participants.
pub(crate) struct Sockets<P: Participant> {
    pub(super) config: SocketConfig,
    pub(super) judge: Arc<P::Judge>,
    pub(super) registry: Arc<Registry<<P::Judge as Judge>::Grounds>>,
    backend: Arc<Backend>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: SocketMetrics,
    pub(super) refusals: GatewayMetrics,
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

pub(super) type Slot<P> = SocketSlot<<<P as Participant>::Judge as Judge>::Grounds>;

/// What a participant holds while it converses. Nothing of the conversation may pass once it is dropped.
pub(crate) struct Held<P: Participant> {
    _told: watch::Receiver<SocketCommand>,
    _slot: Slot<P>,
    _place: SocketPlace,
    _open: OpenSocket,
}

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

    /// Serves an open socket until there is a reason to close.
    async fn speak(&self, browser: &mut Socket, participant: &P) -> Closing {
        let (closing, held) =
            self.hold(participant, async |slot| self.converse(browser, participant, slot).await).await;
        let closing = closing.map_or_else(|closing| closing, |never| match never {});
        say_goodbye(browser, &closing).await;
        drop(held);
        closing
    }

    /// Converses while the participant holds a slot and a place, until the conversation is over or the registry says to close. A change
    /// that forbids the conversation waits until the caller has dropped [`Held`]: by then, it must have told the participant.
    pub(super) async fn hold<T>(
        &self,
        participant: &P,
        conversing: impl AsyncFnOnce(&Slot<P>) -> Result<T, Closing>,
    ) -> (Result<T, Closing>, Option<Held<P>>) {
        let about = participant.about();
        let slot = match self.registry.take(about.tenant_id, participant.grounds()) {
            Ok(slot) => slot,
            Err(closing) => return (Err(closing), None),
        };
        let place = match self.limits.take_socket(about.tenant_id, about.counted_as, about.client) {
            Ok(place) => place,
            Err(limit) => return (Err(too_many(limit)), None),
        };
        let open = self.metrics.open();
        let mut told = slot.command.clone();
        let ended = tokio::select! {
            biased;
            // Wherever the conversation is, it stops here.
            told = told.wait_for(|command| command.close.is_some()) => {
                Err(told.ok().and_then(|command| command.close.clone()).unwrap_or(Closing::Restarting))
            }
            ended = conversing(&slot) => ended,
        };
        (ended, Some(Held { _told: told, _slot: slot, _place: place, _open: open }))
    }

    /// Judges a participant like one with a socket, and runs `acting` in its name. A change that forbids it stops `acting`, and returns once
    /// the caller has dropped [`Held`].
    pub(crate) async fn act<T>(
        &self,
        participant: &P,
        acting: impl AsyncFnOnce(String) -> Result<T, Closing>,
    ) -> (Result<T, Closing>, Option<Held<P>>) {
        self.hold(participant, async |_| acting(participant.admit().await?.actor).await).await
    }

    async fn converse(
        &self,
        browser: &mut Socket,
        participant: &P,
        slot: &Slot<P>,
    ) -> Result<std::convert::Infallible, Closing> {
        let mut end = self.open_backend(participant).await?;
        let pump = Pump {
            config: self.config,
            metrics: &self.metrics,
            refusals: &self.refusals,
            participant,
            browser,
            backend: &mut end.socket,
            command: slot.command.clone(),
            ends_at_ms: end.ends_at_ms,
            welcomed: false,
        };
        let ended = pump.run().await;
        let _ = timeout(FAREWELL, end.socket.close(None)).await;
        ended
    }

    /// Has the participant judged, connects the chat backend, and tells it who speaks. The participant must have its slot.
    ///
    /// # Errors
    /// Why there is no conversation.
    pub(super) async fn open_backend(&self, participant: &P) -> Result<BackendEnd, Closing> {
        let Admitted { path, actor, hello, ends_at_ms } = participant.admit().await?;
        let opened = self.backend.open_socket(participant.about().tenant_id, path, &actor).await;
        let mut socket = opened.map_err(|error| {
            tracing::debug!(cause = error.cause(), code = error.code().as_str(), "no socket to the chat backend");
            Closing::BackendAway
        })?;
        match timeout(self.config.send_timeout, socket.send(Message::text(hello))).await {
            Ok(Ok(())) => Ok(BackendEnd { socket, ends_at_ms }),
            _ => Err(Closing::BackendAway),
        }
    }

    /// Closes every socket because the gateway stops, within about `over`. Opens no more.
    pub(crate) async fn drain(&self, over: Duration) {
        drain(self.registry.close(), over).await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Bytes that a frame may have.
    pub(crate) fn frame_limit(&self) -> usize {
        self.config.frame_limit
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
