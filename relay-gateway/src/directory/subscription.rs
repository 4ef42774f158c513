//! The gateway's end of the watch stream. It asks for leases. On a change it drops the cached entries, lets the listeners close what
//! the change forbids, and only then acknowledges. If a stream fails, it goes on at the next replica. The lease and the cache outlive
//! the stream.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{cached::CachedDirectory, listener::ChangeListener, port::TenantDirectory};
use crate::{
    admin::{AdminClient, Backoff, Position, Update, Watch, WatchError},
    metrics::GatewayCount,
};

/// How long a replica may take to hear that this gateway stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// Keeps a [`CachedDirectory`] leased.
pub(crate) struct Subscription<D> {
    directory: CachedDirectory<D>,
    admin: AdminClient,
    /// Random, and new at each start: leases and acknowledgements are kept under it.
    gateway: Uuid,
    name: String,
    listeners: Vec<Arc<dyn ChangeListener>>,
    gateways: GatewayCount,
    /// Up to where the directory was followed.
    seen: Option<Position>,
    /// How long the last lease was.
    lease: Option<Duration>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Stream(#[from] WatchError),
    #[error("the replica did not answer in time")]
    Silent,
    #[error("changes that do not follow on what was seen")]
    Gap,
}

impl<D: TenantDirectory> Subscription<D> {
    pub(crate) fn new(
        directory: CachedDirectory<D>,
        admin: AdminClient,
        name: String,
        listeners: Vec<Arc<dyn ChangeListener>>,
        gateways: GatewayCount,
    ) -> Self {
        Self { directory, admin, gateway: Uuid::new_v4(), name, listeners, gateways, seen: None, lease: None }
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
            let lease_held = self.directory.still_current();
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
        // Between two streams the gateway can tell no replica: changes wait for what is left of the lease.
        self.directory.give_up();
    }

    /// Follows one stream to its end; `Ok` where the gateway has left.
    async fn watch(&mut self, replica: usize, leaving: &CancellationToken, granted: &mut bool) -> Result<(), Ended> {
        let patience = self.admin.timeout();
        let mut stream = tokio::select! {
            () = leaving.cancelled() => return self.leave(None).await,
            opened = timeout(patience, self.admin.watch(replica, self.gateway, &self.name)) => {
                opened.map_err(|_| Ended::Silent)??
            }
        };

        let mut asked = Instant::now();
        let mut unanswered = self.ask(&stream).await?;
        loop {
            let period = self.lease.map_or(patience, |lease| lease / 3);
            let late = asked + if unanswered.is_some() { period.min(patience) } else { period };
            tokio::select! {
                () = leaving.cancelled() => return self.leave(Some(stream)).await,
                update = stream.next() => {
                    let update = update?;
                    let (grant, begun) = (update.grant, Instant::now());
                    let through = self.apply(update).await?;
                    if unanswered.is_some() {
                        // The replica was not silent while this gateway closed sockets.
                        asked += begun.elapsed();
                    }
                    stream.acknowledge(through).await?;
                    if let Some(grant) = grant {
                        self.directory.granted(grant.id, grant.lease_ms);
                        // An older admin service does not say it.
                        if grant.gateways > 0 {
                            self.gateways.set(grant.gateways);
                        }
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
                    unanswered = self.ask(&stream).await?;
                }
            }
        }
    }

    /// Asks for a lease and answers the asking's number.
    async fn ask(&self, stream: &Watch) -> Result<Option<u64>, Ended> {
        let asking = self.directory.ask();
        stream.ask(asking.id, self.seen.clone()).await?;
        Ok(Some(asking.id))
    }

    /// Drops what changed, and waits until the listeners have closed what the changes forbid. Answers the revision to acknowledge. If
    /// the gateway acknowledged earlier, a change could return while a forbidden socket is open.
    async fn apply(&mut self, update: Update) -> Result<u64, Ended> {
        let Update { changes, through, .. } = update;
        if !self.directory.drop_changed(&changes) {
            return Err(Ended::Gap);
        }
        for listener in &self.listeners {
            listener.apply(&changes).await;
        }
        self.directory.applied(&changes);
        let seen_before = self.seen.as_ref().map_or(0, |seen| seen.revision);
        if changes.keys.is_none() || through.revision >= seen_before {
            self.seen = Some(through);
        }
        Ok(changes.through)
    }

    /// Promises never to use the cache again, so that no change needs to wait for this gateway.
    async fn leave(&self, stream: Option<Watch>) -> Result<(), Ended> {
        self.directory.give_up();
        if let Some(stream) = stream {
            let _ = timeout(FAREWELL, stream.give_up()).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, sync::Mutex};

    use coherence::Changes;
    use service::{ApiError, config::Sources, telemetry::metrics::Metrics};
    use tokio::sync::Notify;
    use uuid::Uuid;
    use wire::{TenantId, request_id::RequestId};

    use super::*;
    use crate::{
        config::Config,
        directory::Known,
        domain::{operator::Membership, tenant::TenantState, widget_access::WidgetAccess},
        metrics::GatewayMetrics,
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

        async fn membership(
            &self,
            _: &TenantState,
            _: Uuid,
            _: &RequestId,
        ) -> Result<Option<Arc<Membership>>, ApiError> {
            Ok(None)
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

    async fn subscription(source: &Arc<Nobody>, socket: &Arc<Socket>) -> Subscription<Arc<Nobody>> {
        let env =
            [("GATEWAY_ADMIN_GRPC_TOKEN", "a-token-long-enough"), ("GATEWAY_RELAY_SECRET", "a-secret-long-enough")];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = Config::load(&Sources { args: Vec::new(), env }).expect("a configuration");
        let metrics = Metrics::default();
        let admin = AdminClient::new(&config.admin, GatewayMetrics::new(&metrics)).await.expect("a client");
        let directory = CachedDirectory::new(Arc::clone(source), 1_000_000, &metrics);
        Subscription::new(
            directory,
            admin,
            "by-hand".to_owned(),
            vec![Arc::clone(socket) as Arc<dyn ChangeListener>],
            GatewayCount::default(),
        )
    }

    fn update(after: u64, through: u64, tenants: &[TenantId], start_over: bool) -> Update {
        let changes = Changes { after, through, keys: (!start_over).then(|| tenants.to_vec()) };
        Update { changes, through: Position { revision: through, mark: vec![0; 16] }, grant: None }
    }

    #[tokio::test]
    async fn a_change_is_acknowledged_once_it_is_dropped_and_what_it_forbids_is_closed() {
        let (source, socket) = (Arc::<Nobody>::default(), Arc::<Socket>::default());
        let mut subscription = subscription(&source, &socket).await;
        let directory = subscription.directory.clone();
        socket.closed.notify_one();
        let acknowledged = subscription.apply(update(0, 1, &[], true)).await.expect("applied");
        assert_eq!(acknowledged, 1);
        let asking = directory.ask();
        directory.granted(asking.id, 600_000);

        let tenant = TenantId::generate();
        let lookups = || *source.0.lock().expect("not poisoned");
        let look_up = async || directory.lookup(tenant, &RequestId::generate()).await.expect("an answer");
        look_up().await;
        look_up().await;
        assert_eq!(lookups(), 1, "it is kept");

        let applying = tokio::spawn(async move {
            let acknowledged = subscription.apply(update(1, 2, &[tenant], false)).await.expect("applied");
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
        assert_eq!(acknowledged, 2);
        let told = socket.told.lock().expect("not poisoned").last().cloned().expect("it was told");
        assert_eq!(told, Changes { after: 1, through: 2, keys: Some(vec![tenant]) });

        assert!(matches!(subscription.apply(update(3, 4, &[tenant], false)).await, Err(Ended::Gap)));
        assert_eq!(subscription.seen.map(|seen| seen.revision), Some(2));
    }
}
