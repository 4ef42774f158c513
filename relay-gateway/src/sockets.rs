//! Visitors' sockets: who may have one, for how long, and what closes it. Contract, section 5.
//!
//! A socket is open under the same terms as a call is answered. While the lease is held, a change that forbids it closes it
//! before the change is acknowledged; without a lease each frame is judged anew, or waits.

use std::{collections::HashMap, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all, stream};
use hyper_util::rt::TokioIo;
use proto::visitors::v1::{GetSessionRequest, Session, visitors_client::VisitorsClient};
use serde_json::{Value, json};
use shared::{
    ApiError, ErrorCode, TenantId,
    coherence::Changes,
    origin::Origin,
    request_id::RequestId,
    serve::Peer,
    websocket::{self, Socket},
};
use tokio::{
    io::AsyncReadExt as _,
    sync::{OnceCell, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::{Message, protocol::Role};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{
    admin_client::AdminClient,
    backend::Backend,
    config::SocketConfig,
    directory::{Concerned, Known, LeaseView, TenantDirectory},
    domain::{
        door::{Door, Shut},
        floods::Floods,
        rate::VisitorRates,
        token::VisitorToken,
    },
    metrics::{GatewayMetrics, SocketMetrics},
};

mod closing;
mod registry;
mod relay;

pub(crate) use closing::Closing;
use registry::{Directive, Open, Registry, Seat};
use relay::Relay;

/// How long a close frame may take to be written: who reads nothing is not waited for.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long the browser then has to answer it, while nothing passes any more.
const LINGER: Duration = Duration::from_secs(1);

/// When the gateway stops, so long at most between one socket's close and the next one's.
const DRAIN_PACE: Duration = Duration::from_millis(10);

/// Tenants that are judged at once after a change.
const JUDGED_AT_ONCE: usize = 32;

/// How long judging may take after a change, all tenants together: changes wait for it, and so does the lease. A socket that was
/// not judged by then may be forbidden, and is closed for now.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// Visitors' sockets.
pub(crate) struct Sockets<D> {
    config: SocketConfig,
    registry: Arc<Registry>,
    directory: D,
    lease: LeaseView,
    admin: AdminClient,
    backend: Arc<Backend>,
    /// Counts who proves nothing.
    floods: Arc<Floods>,
    rates: VisitorRates,
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
}

/// What [`Sockets`] stand on.
pub(crate) struct Behind<D> {
    pub(crate) directory: D,
    pub(crate) lease: LeaseView,
    pub(crate) admin: AdminClient,
    pub(crate) backend: Arc<Backend>,
    pub(crate) floods: Arc<Floods>,
    pub(crate) refusals: GatewayMetrics,
}

impl<D: TenantDirectory> Sockets<D> {
    pub(crate) fn new(config: SocketConfig, behind: Behind<D>, metrics: SocketMetrics) -> Self {
        let Behind { directory, lease, admin, backend, floods, refusals } = behind;
        let registry = Arc::new(Registry::new(config.limits));
        let (rates, tasks) = (VisitorRates::new(config.frames_per_min), TaskTracker::new());
        Self { config, registry, directory, lease, admin, backend, floods, rates, metrics, refusals, tasks }
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
                session = %visit.token.session,
                request_id = visit.request_id.as_str(),
            ),
            Err(_) => tracing::debug_span!(parent: None, "socket"),
        };
        let speaking = async move {
            let upgraded = match upgrading.await {
                Ok(upgraded) => TokioIo::new(upgraded),
                Err(error) => return tracing::debug!(%error, "a connection that was to become a socket ended"),
            };
            let config = websocket::config(this.config.frame_limit);
            let mut browser = Socket::from_raw_socket(upgraded, Role::Server, Some(config)).await;
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

    /// Holds a seat for as long as anything passes.
    async fn speak(&self, browser: &mut Socket, visit: &Visit) -> Closing {
        let seat = match self.registry.take(&visit.token) {
            Ok(seat) => seat,
            Err(closing) => {
                say_goodbye(browser, &closing).await;
                return closing;
            }
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
        drop(seat);
        closing
    }

    async fn converse(&self, browser: &mut Socket, visit: &Visit, seat: &Seat) -> Closing {
        let session = match self.admit(visit, seat).await {
            Ok(session) => session,
            Err(closing) => {
                if matches!(closing, Closing::Token | Closing::Forbidden(_)) {
                    self.floods.refused(visit.client, std::time::Instant::now());
                }
                return closing;
            }
        };
        let ends_at_ms = session.expires_at.map_or(0, |at| at.seconds.saturating_mul(1000));
        let VisitorToken { tenant_id, session: id, origin, .. } = &visit.token;
        let mut backend = match self.backend.open_socket(*tenant_id, *id).await {
            Ok(backend) => backend,
            Err(error) => {
                tracing::debug!(cause = error.cause(), code = error.code().as_str(), "no socket to the chat backend");
                return Closing::BackendAway;
            }
        };
        let closing = match timeout(self.config.send_timeout, backend.send(Message::text(hello(session, origin)))).await
        {
            Ok(Ok(())) => {
                let directive = seat.directive.clone();
                let backend = &mut backend;
                Relay { sockets: self, visit, browser, backend, directive, ends_at_ms, welcomed: false }.run().await
            }
            _ => Closing::BackendAway,
        };
        let _ = timeout(FAREWELL, backend.close(None)).await;
        closing
    }

    /// The visit's session, where it is allowed at all.
    async fn admit(&self, visit: &Visit, seat: &Seat) -> Result<Session, Closing> {
        if !self.rates.admits(visit.token.session) {
            return Err(Closing::TooFast("the session connects too often: wait"));
        }
        seat.came_in_by(&self.judge(visit).await?);
        self.session(visit).await
    }

    /// What the session was begun with.
    async fn session(&self, visit: &Visit) -> Result<Session, Closing> {
        let message = GetSessionRequest {
            tenant_id: visit.token.tenant_id.as_uuid().as_bytes().to_vec(),
            session_id: visit.token.session.to_string(),
        };
        let method = "chatrelay.visitors.v1.Visitors/GetSession";
        let answer = self.admin.call(method, &visit.request_id, message, |channel, request| async move {
            VisitorsClient::new(channel).get_session(request).await
        });
        answer.await.map_err(|error| match error.code() {
            ErrorCode::InvalidVisitorToken => Closing::Token,
            _ => unchecked(&error),
        })
    }

    /// Whether a visit is allowed by what is known now.
    async fn judge(&self, visit: &Visit) -> Result<Arc<Door>, Closing> {
        let VisitorToken { tenant_id, widget_key, origin, .. } = &visit.token;
        let known = self.directory.lookup(*tenant_id, &visit.request_id).await;
        let door = self.door(&known, widget_key, &visit.request_id).await?;
        allowed(door, origin)
    }

    /// A tenant's door, where a widget key opens it at all.
    async fn door(
        &self,
        known: &Result<Known, ApiError>,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<Arc<Door>, Closing> {
        let known = known.as_ref().map_err(unchecked)?;
        let tenant = known.tenant.as_ref().ok_or_else(|| shut(Shut::Key))?;
        let door = self.directory.door(tenant, widget_key, request_id).await.map_err(|error| unchecked(&error))?;
        door.open(tenant).map_err(shut)?;
        Ok(door)
    }

    /// Whether a frame may pass: what closes a socket is heard of while the lease is held, and asked for where it is not.
    async fn still_allowed(&self, visit: &Visit) -> Result<(), Closing> {
        if self.lease.is_held() { Ok(()) } else { self.judge(visit).await.map(drop) }
    }

    /// Judges a tenant's sockets anew: those that are forbidden, or cannot be judged in time, are closed when this returns; the
    /// others know of a new look.
    async fn settle_tenant(&self, tenant_id: TenantId, deadline: Instant) {
        let (known, mut doors, mut forbidden) = (OnceCell::new(), HashMap::new(), Vec::new());
        for socket in self.registry.of(tenant_id) {
            let judging = self.judge_anew(tenant_id, &known, &mut doors, &socket);
            if let Err(closing) = timeout_at(deadline, judging).await.unwrap_or(Err(UNCHECKED)) {
                socket.directive.send_modify(|directive| directive.close = Some(closing));
                forbidden.push(socket.directive);
            }
        }
        all_closed(&forbidden).await;
    }

    /// Judges one of a tenant's sockets by what is known after a change; all that came by one key have one door.
    async fn judge_anew(
        &self,
        tenant_id: TenantId,
        known: &OnceCell<Result<Known, ApiError>>,
        doors: &mut HashMap<Arc<str>, Result<Arc<Door>, Closing>>,
        socket: &Open,
    ) -> Result<(), Closing> {
        let request_id = RequestId::generate();
        let known = known.get_or_init(|| self.directory.lookup(tenant_id, &request_id)).await;
        if !doors.contains_key(&socket.widget_key) {
            let door = self.door(known, &socket.widget_key, &request_id).await;
            doors.insert(Arc::clone(&socket.widget_key), door);
        }
        let door = doors.get(&socket.widget_key).cloned().unwrap_or(Err(UNCHECKED))?;
        let door = allowed(door, &socket.origin)?;
        self.registry.has_door(tenant_id, socket.id(), &door);
        if let Some(look) = new_look(socket.door.as_deref(), &door) {
            socket.directive.send_modify(|directive| directive.look = Some(look));
        }
        Ok(())
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

impl<D: TenantDirectory> Concerned for Sockets<D> {
    fn settle<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let tenants = self.registry.tenants(changes.keys.as_deref());
        let deadline = Instant::now() + JUDGED_WITHIN;
        let judging = move |tenant_id| self.settle_tenant(tenant_id, deadline);
        Box::pin(stream::iter(tenants).for_each_concurrent(JUDGED_AT_ONCE, judging))
    }
}

/// What a socket that cannot be judged is closed with: it may be forbidden.
const UNCHECKED: Closing = Closing::TryAgain("the relay cannot check the tenant right now: connect again later");

fn unchecked(error: &ApiError) -> Closing {
    tracing::debug!(cause = error.cause(), "a socket's tenant cannot be checked");
    UNCHECKED
}

/// A reason begins with the `error_code` that a call would be refused with.
fn shut(shut: Shut) -> Closing {
    Closing::Forbidden(match shut {
        Shut::Key => "invalid_widget_key: it was rotated or revoked; paste the current embed code",
        Shut::Suspended => "tenant_suspended: ask the platform's operator",
    })
}

fn allowed(door: Arc<Door>, origin: &Origin) -> Result<Arc<Door>, Closing> {
    if door.allows(origin) {
        Ok(door)
    } else {
        Err(Closing::Forbidden("origin_not_allowed: add it to the tenant's allowed_origins"))
    }
}

/// The frame that tells a widget how it looks now, where that is not what it looked like.
fn new_look(before: Option<&Door>, now: &Door) -> Option<Arc<str>> {
    let before = before?.widget.as_ref()?;
    let now = now.widget.as_ref()?;
    (before.config != now.config).then(|| json!({"type": "config", "widget_config": now.config()}).to_string().into())
}

/// The first frame the backend gets: whose conversation this is, and what it was begun with.
fn hello(session: Session, origin: &Origin) -> String {
    let Session { session_id, bot_id, locale, metadata_json, routing_key, mode, .. } = session;
    let metadata: Value = serde_json::from_str(&metadata_json).unwrap_or_else(|_| json!({}));
    json!({
        "type": "hello",
        "session_id": session_id,
        "bot_id": bot_id,
        "locale": locale,
        "metadata": metadata,
        "routing_key": routing_key,
        "mode": mode,
        "origin": origin.to_string(),
    })
    .to_string()
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
        if matches!(closing, Closing::TooLarge | Closing::Protocol | Closing::NotUtf8) {
            // What was wrong was not read to its end, so nothing after it can be told apart.
            let mut rest = [0; 1024];
            while matches!(browser.get_mut().read(&mut rest).await, Ok(read) if read > 0) {}
        } else {
            while let Some(Ok(_)) = browser.next().await {}
        }
    })
    .await;
}
