//! The gateway's end of the watch stream: asks for leases, drops what changes, has closed what changes forbid, and only then
//! acknowledges. Where a stream fails it goes on at the next replica; the lease, and what is cached, outlive streams.

use std::{pin::Pin, sync::Arc, time::Duration};

use coherence::Changes;
use proto::directory::v1::{
    Acknowledge, Ask, Changes as WireChanges, GiveUp, Hello, Position, WatchRequest, WatchResponse,
    tenant_directory_client::TenantDirectoryClient, watch_request::Message,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;
use wire::{TenantId, request_id::RequestId};

use super::{CachedDirectory, TenantDirectory};
use crate::admin_client::{AdminClient, Backoff};

/// Messages on their way to the replica.
const IN_FLIGHT: usize = 16;

/// How long a replica may take to hear that this gateway stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// Holds something open on behalf of tenants that a change may forbid.
pub(crate) trait ChangeListener: Send + Sync {
    /// Closes what the changes forbid. The changes are acknowledged once this returns, and no lease is renewed before.
    fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Keeps a [`CachedDirectory`] leased.
pub(crate) struct Subscription<D> {
    directory: CachedDirectory<D>,
    admin: AdminClient,
    /// Random, and new at each start: leases and acknowledgements are kept under it.
    gateway: Uuid,
    name: String,
    listeners: Vec<Arc<dyn ChangeListener>>,
    /// Up to where the directory was followed.
    seen: Option<Position>,
    /// How long the last lease was.
    lease: Option<Duration>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("no connection: {0}")]
    Unreachable(#[from] tonic::transport::Error),
    #[error("{0}")]
    Refused(#[from] Status),
    #[error("an asking was not answered in time")]
    Silent,
    #[error("the replica ended it")]
    Closed,
    #[error("what it says makes no sense: {0}")]
    Nonsense(&'static str),
}

impl<D: TenantDirectory> Subscription<D> {
    pub(crate) fn new(
        directory: CachedDirectory<D>,
        admin: AdminClient,
        name: String,
        listeners: Vec<Arc<dyn ChangeListener>>,
    ) -> Self {
        Self { directory, admin, gateway: Uuid::new_v4(), name, listeners, seen: None, lease: None }
    }

    /// Watches one replica after the other until told to leave, and then gives the lease up.
    pub(crate) async fn run(mut self, leaving: CancellationToken) {
        // Gateways spread over the replicas.
        let mut replica = fastrand::usize(..self.admin.replicas());
        let mut backoff = Backoff::default();
        let mut is_well = true;
        while !leaving.is_cancelled() {
            let mut granted = false;
            let Err(why) = self.watch(replica, &leaving, &mut granted).await else { return };
            let lease_held = self.directory.lease().is_held();
            if is_well || granted {
                tracing::warn!(replica, %why, lease_held, "not watching the directory");
                backoff = Backoff::default();
            } else {
                tracing::debug!(replica, %why, lease_held, "still not watching the directory");
            }
            is_well = false;
            replica = (replica + 1) % self.admin.replicas();
            tokio::select! {
                () = leaving.cancelled() => {}
                () = tokio::time::sleep(backoff.next_pause()) => {}
            }
        }
        // Between two streams there is nobody to tell: changes wait for what is left of the lease.
        self.directory.give_up();
    }

    /// Follows one stream to its end; `Ok` where the gateway has left.
    async fn watch(&mut self, replica: usize, leaving: &CancellationToken, granted: &mut bool) -> Result<(), Ended> {
        let patience = self.admin.timeout();
        let (to, outgoing) = mpsc::channel(IN_FLIGHT);
        let hello = Hello { gateway: self.gateway.as_bytes().to_vec(), name: self.name.clone() };
        let _ = to.try_send(say(Message::Hello(hello)));
        let request = self.admin.request(ReceiverStream::new(outgoing), &RequestId::generate());
        let opening = async {
            let channel = self.admin.connect(replica).await?;
            Ok::<_, Ended>(TenantDirectoryClient::new(channel).watch(request).await?.into_inner())
        };
        let mut incoming = tokio::select! {
            () = leaving.cancelled() => return self.leave(to, None).await,
            opened = timeout(patience, opening) => opened.map_err(|_| Ended::Silent)??,
        };

        let mut asked = Instant::now();
        let mut unanswered = self.ask(&to).await?;
        loop {
            let period = self.lease.map_or(patience, |lease| lease / 3);
            let late = asked + if unanswered.is_some() { period.min(patience) } else { period };
            tokio::select! {
                () = leaving.cancelled() => return self.leave(to, Some(incoming)).await,
                message = incoming.message() => {
                    let message = message?.ok_or(Ended::Closed)?;
                    let (grant, begun) = (message.grant, Instant::now());
                    let acknowledge = self.apply(message).await?;
                    if unanswered.is_some() {
                        // What we took to close sockets is no silence of the replica's.
                        asked += begun.elapsed();
                    }
                    to.send(say(Message::Acknowledge(acknowledge))).await.map_err(|_| Ended::Closed)?;
                    if let Some(grant) = grant {
                        self.directory.granted(grant.id, grant.lease_ms);
                        self.lease = Some(Duration::from_millis(grant.lease_ms.max(1).into()));
                        unanswered.take_if(|id| *id == grant.id);
                        self.admin.granted_by(replica);
                        if !std::mem::replace(granted, true) {
                            tracing::info!(replica, lease_ms = grant.lease_ms, "watching the directory");
                        }
                    }
                }
                () = sleep_until(late) => {
                    if unanswered.is_some() {
                        return Err(Ended::Silent);
                    }
                    asked = Instant::now();
                    unanswered = self.ask(&to).await?;
                }
            }
        }
    }

    /// Asks for a lease and answers the asking's number.
    async fn ask(&self, to: &mpsc::Sender<WatchRequest>) -> Result<Option<u64>, Ended> {
        let asking = self.directory.ask();
        let ask = Ask { id: asking.id, seen: self.seen.clone() };
        to.send(say(Message::Ask(ask))).await.map_err(|_| Ended::Closed)?;
        Ok(Some(asking.id))
    }

    /// Drops what changed, has closed what the changes forbid, and answers what may then be acknowledged.
    async fn apply(&mut self, message: WatchResponse) -> Result<Acknowledge, Ended> {
        let (changes, through) = from_wire(message)?;
        if !self.directory.drop_changed(&changes) {
            return Err(Ended::Nonsense("changes that do not follow on what was seen"));
        }
        for listener in &self.listeners {
            listener.apply(&changes).await;
        }
        self.directory.applied(&changes);
        let seen_before = self.seen.as_ref().map_or(0, |seen| seen.revision);
        if changes.keys.is_none() || through.revision >= seen_before {
            self.seen = Some(through);
        }
        Ok(Acknowledge { through: changes.through })
    }

    /// Promises never to use the cache again, so that no change needs to wait for this gateway.
    async fn leave(
        &self,
        to: mpsc::Sender<WatchRequest>,
        incoming: Option<Streaming<WatchResponse>>,
    ) -> Result<(), Ended> {
        self.directory.give_up();
        if let Some(mut incoming) = incoming {
            let _ = to.send(say(Message::GiveUp(GiveUp {}))).await;
            // The replica reads to the end of what was said, and then ends the stream.
            drop(to);
            let _ = timeout(FAREWELL, async { while let Ok(Some(_)) = incoming.message().await {} }).await;
        }
        Ok(())
    }
}

fn say(message: Message) -> WatchRequest {
    WatchRequest { message: Some(message) }
}

fn from_wire(message: WatchResponse) -> Result<(Changes<TenantId>, Position), Ended> {
    let WireChanges { after, through, tenant_ids, start_over } =
        message.changes.ok_or(Ended::Nonsense("no changes, not even none"))?;
    let through = through.ok_or(Ended::Nonsense("changes without a position"))?;
    let keys = tenant_ids.iter().map(|id| TenantId::from_slice(id)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|_| Ended::Nonsense("a malformed tenant id"))?;
    let changes = Changes {
        after: if start_over { 0 } else { after },
        through: through.revision,
        keys: (!start_over).then_some(keys),
    };
    Ok((changes, through))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use service::{ApiError, config::Sources, telemetry::metrics::Metrics};
    use tokio::sync::Notify;

    use super::*;
    use crate::{
        config::Config,
        directory::{Known, LeaseView},
        domain::{tenant::TenantState, widget_access::WidgetAccess},
        metrics::{DirectoryMetrics, GatewayMetrics},
    };

    /// Knows nobody, and counts how often it is asked.
    #[derive(Default)]
    struct Nobody(Mutex<usize>);

    impl TenantDirectory for Arc<Nobody> {
        async fn lookup(&self, _: TenantId, _: &RequestId) -> Result<Known, ApiError> {
            *self.0.lock().expect("not poisoned") += 1;
            Ok(Known { tenant: None, revision: 1 })
        }

        async fn widget_access(&self, _: &TenantState, _: &str, _: &RequestId) -> Result<Arc<WidgetAccess>, ApiError> {
            Err(ApiError::internal("nobody has no widget key"))
        }
    }

    /// Something open that takes its time to close.
    #[derive(Default)]
    struct Socket {
        told: Mutex<Vec<Changes<TenantId>>>,
        closed: Notify,
    }

    impl ChangeListener for Socket {
        fn apply<'a>(&'a self, changes: &'a Changes<TenantId>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            self.told.lock().expect("not poisoned").push(changes.clone());
            Box::pin(self.closed.notified())
        }
    }

    fn subscription(source: &Arc<Nobody>, socket: &Arc<Socket>) -> Subscription<Arc<Nobody>> {
        let env =
            [("GATEWAY_ADMIN_GRPC_TOKEN", "a-token-long-enough"), ("GATEWAY_RELAY_SECRET", "a-secret-long-enough")];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = Config::load(&Sources { args: Vec::new(), env }).expect("a configuration");
        let metrics = Metrics::default();
        let admin = AdminClient::new(&config.admin, GatewayMetrics::new(&metrics)).expect("a client");
        let directory =
            CachedDirectory::new(Arc::clone(source), 1_000_000, LeaseView::default(), DirectoryMetrics::new(&metrics));
        Subscription::new(directory, admin, "by-hand".to_owned(), vec![Arc::clone(socket) as Arc<dyn ChangeListener>])
    }

    fn response(after: u64, through: u64, tenants: &[TenantId], start_over: bool) -> WatchResponse {
        let tenant_ids = tenants.iter().map(|id| id.as_uuid().as_bytes().to_vec()).collect();
        let through = Some(Position { revision: through, mark: vec![0; 16] });
        WatchResponse { changes: Some(WireChanges { after, through, tenant_ids, start_over }), grant: None }
    }

    #[tokio::test]
    async fn a_change_is_acknowledged_once_it_is_dropped_and_what_it_forbids_is_closed() {
        let (source, socket) = (Arc::<Nobody>::default(), Arc::<Socket>::default());
        let mut subscription = subscription(&source, &socket);
        let directory = subscription.directory.clone();
        socket.closed.notify_one();
        let acknowledged = subscription.apply(response(0, 1, &[], true)).await.expect("applied");
        assert_eq!(acknowledged.through, 1);
        let asking = directory.ask();
        directory.granted(asking.id, 600_000);

        let tenant = TenantId::generate();
        let lookups = || *source.0.lock().expect("not poisoned");
        let look_up = async || directory.lookup(tenant, &RequestId::generate()).await.expect("an answer");
        look_up().await;
        look_up().await;
        assert_eq!(lookups(), 1, "it is kept");

        let applying = tokio::spawn(async move {
            let acknowledged = subscription.apply(response(1, 2, &[tenant], false)).await.expect("applied");
            (acknowledged, subscription)
        });
        while socket.told.lock().expect("not poisoned").len() < 2 {
            tokio::task::yield_now().await;
        }
        // What was cached is gone before anything is closed; nothing is acknowledged before all is.
        look_up().await;
        assert_eq!((lookups(), applying.is_finished()), (2, false));
        socket.closed.notify_one();
        let (acknowledged, mut subscription) = applying.await.expect("no panic");
        assert_eq!(acknowledged.through, 2);
        let told = socket.told.lock().expect("not poisoned").last().cloned().expect("it was told");
        assert_eq!(told, Changes { after: 1, through: 2, keys: Some(vec![tenant]) });

        for nonsense in [
            response(3, 4, &[tenant], false),
            WatchResponse { changes: None, grant: None },
            WatchResponse {
                changes: Some(WireChanges {
                    tenant_ids: vec![vec![1]],
                    ..response(2, 3, &[], false).changes.expect("some")
                }),
                grant: None,
            },
        ] {
            assert!(matches!(subscription.apply(nonsense).await, Err(Ended::Nonsense(_))));
        }
        assert_eq!(subscription.seen.map(|seen| seen.revision), Some(2));
    }
}
