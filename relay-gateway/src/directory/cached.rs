//! The leased cache: PROTOCOL.md, section 6. It answers from memory while the gateway holds a lease. During the lease, no
//! change of what is cached returns before this gateway has acknowledged it.
//!
//! A request must read the lease first and the cache second. Neither read takes the lock of `Following`. The gateway drops a change's
//! entries before it acknowledges the change, and renews the lease after that. In the other order, a request could read an old entry,
//! then see a renewed lease, and use the entry. Everything else is rare: it takes that lock, and [`coherence::gateway`] decides it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use coherence::{
    Changes,
    gateway::{Asking, FetchOutcome, Joining, Lease, SingleFlight, Ticket},
};
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter, sync::Cache as FastCache};
use service::{ApiError, telemetry::metrics::Metrics};
use tokio::sync::watch;
use tracing::Instrument as _;
use uuid::Uuid;
use wire::{TenantId, request_id::RequestId, time::since_boot_ms};

use super::{
    lease::LeaseView,
    memberships::MembershipCache,
    port::{Known, TenantDirectory, unavailable},
    widget_access::WidgetAccessCache,
};
use crate::{
    admin::Backoff,
    domain::{operator::Membership, tenant::TenantState, widget_access::WidgetAccess},
    metrics::{DirectoryMetrics, Lookup},
};

/// How long a fetch is repeated because a change overtook its answer. If a database comes back without its last commits, every answer
/// is too old: without this bound the gateway would repeat the fetch until the stream tells it to start over.
const REPEATED_FOR: Duration = Duration::from_secs(3);

/// The bytes a tenant is taken to cost here: its keyed state, its place in the map, the allocator's rounding. With what it costs
/// elsewhere in the gateway, 1555 were measured (BENCHMARKS.md).
const ENTRY_BYTES: u64 = 768;
/// The bytes that it costs to know that there is no such tenant: its id, a revision, its place in the map.
const UNKNOWN_ENTRY_BYTES: u64 = 96;

/// A directory that keeps what another one answered. Cloning shares it.
pub(crate) struct CachedDirectory<D>(Arc<Inner<D>>);

impl<D> Clone for CachedDirectory<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<D> {
    source: D,
    /// A copy of what `following` says, to be read without its lock.
    lease: LeaseView,
    /// Read by every call: a read marks the entry and notes nothing.
    known: FastCache<TenantId, Known, UnitWeighter, DefaultHashBuilder, CountEvictions>,
    /// Ids that no tenant has. They are kept under the same lease and dropped by the same changes as tenants, so that an unknown id
    /// is asked for no more often than a known one. The first call with an id still takes a look-up. They have a cache of their
    /// own, so that a caller who invents ids evicts no tenant.
    unknown: FastCache<TenantId, Known>,
    accesses: WidgetAccessCache,
    memberships: MembershipCache,
    following: Mutex<Following>,
    metrics: DirectoryMetrics,
}

/// Tenants dropped for want of room.
#[derive(Clone)]
struct CountEvictions(DirectoryMetrics);

impl Lifecycle<TenantId, Known> for CountEvictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: TenantId, _: Known) {
        self.0.evicted();
    }
}

/// How the directory is followed, and the fetches that race its changes.
#[derive(Default)]
struct Following {
    lease: Lease,
    flights: SingleFlight<TenantId>,
    landings: HashMap<TenantId, watch::Receiver<Option<Result<Known, ApiError>>>>,
}

impl<D: TenantDirectory> CachedDirectory<D> {
    /// In front of `source`, with about so many bytes for tenants. Without a lease it keeps nothing.
    pub(crate) fn new(source: D, capacity_bytes: u64, metrics: &Metrics) -> Self {
        let (lease, metrics) = (LeaseView::new(metrics), DirectoryMetrics::new(metrics));
        let most = capacity_bytes / (ENTRY_BYTES + UNKNOWN_ENTRY_BYTES);
        let expected = usize::try_from(most).unwrap_or(usize::MAX);
        let evictions = CountEvictions(metrics.clone());
        let known = FastCache::with(expected, most, UnitWeighter, DefaultHashBuilder::default(), evictions);
        let unknown = FastCache::new(expected);
        let (accesses, memberships) = (WidgetAccessCache::new(), MembershipCache::new());
        let following = Mutex::default();
        Self(Arc::new(Inner { source, lease, known, unknown, accesses, memberships, following, metrics }))
    }

    /// Begins to ask for a lease.
    pub(super) fn ask(&self) -> Asking {
        self.0.following().lease.ask(since_boot_ms())
    }

    /// Drops the entries of what changed. If a change before these was lost, answers `false` and drops nothing.
    #[must_use]
    pub(super) fn drop_changed(&self, changes: &Changes<TenantId>) -> bool {
        let inner = &*self.0;
        let mut following = inner.following();
        if !following.lease.follows(changes) {
            return false;
        }
        match &changes.keys {
            Some(keys) => {
                for id in keys {
                    inner.known.remove(id);
                    inner.unknown.remove(id);
                }
            }
            None => {
                inner.known.clear();
                inner.unknown.clear();
                inner.memberships.start_over();
            }
        }
        following.flights.invalidate(changes);
        true
    }

    /// The changes were dropped and what they forbid was closed: they may be acknowledged.
    pub(super) fn applied(&self, changes: &Changes<TenantId>) {
        self.0.following().lease.applied(changes);
    }

    /// Takes the lease that answers request `id`. Apply the changes that came with it first: from here on the cache is used.
    pub(super) fn granted(&self, id: u64, lease_ms: u32) {
        let mut following = self.0.following();
        let asked = following.lease.asked_at();
        if following.lease.granted(id, lease_ms.into()) {
            self.0.lease.set(following.lease.until(), asked);
        }
    }

    /// Never uses the cache again.
    pub(super) fn give_up(&self) {
        self.0.following().lease.give_up();
        self.0.lease.set(0, 0);
    }
}

impl<D: TenantDirectory> TenantDirectory for CachedDirectory<D> {
    fn still_current(&self) -> bool {
        self.0.lease.is_held()
    }

    fn has_followed(&self) -> bool {
        self.0.lease.was_ever_held()
    }

    fn cached(&self, id: TenantId) -> Option<Known> {
        let inner = &*self.0;
        let known = if inner.lease.is_held() { inner.cached(&id) } else { None };
        if known.is_some() {
            inner.metrics.looked_up(Lookup::Hit);
        }
        known
    }

    fn has_widget_access(&self, tenant: &TenantState, widget_key: &str) -> bool {
        self.0.accesses.has(tenant, widget_key)
    }

    async fn lookup(&self, id: TenantId, request_id: &RequestId) -> Result<Known, ApiError> {
        if let Some(known) = self.cached(id) {
            return Ok(known);
        }
        // Boxed: otherwise the future of every call would have room for a look-up, which a cached tenant does not need.
        Box::pin(self.fetch(id, request_id)).await
    }

    async fn widget_access(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        request_id: &RequestId,
    ) -> Result<Arc<WidgetAccess>, ApiError> {
        let inner = &*self.0;
        inner
            .accesses
            .get(tenant, widget_key, async || inner.source.widget_access(tenant, widget_key, request_id).await)
            .await
    }

    async fn membership(
        &self,
        tenant: &TenantState,
        operator_id: Uuid,
        request_id: &RequestId,
    ) -> Result<Option<Arc<Membership>>, ApiError> {
        let inner = &*self.0;
        let fetch = async || inner.source.membership(tenant, operator_id, request_id).await;
        inner.memberships.get(tenant, operator_id, fetch).await
    }
}

impl<D: TenantDirectory> CachedDirectory<D> {
    /// Asks, or waits for the fetch that is under way.
    async fn fetch(&self, id: TenantId, request_id: &RequestId) -> Result<Known, ApiError> {
        let inner = &*self.0;
        let mut landing = {
            let mut following = inner.following();
            let now = since_boot_ms();
            // A fetch may have landed since.
            if following.lease.is_held(now)
                && let Some(known) = inner.cached(&id)
            {
                inner.metrics.looked_up(Lookup::Hit);
                return Ok(known);
            }
            let Following { lease, flights, landings } = &mut *following;
            match flights.join(id, lease, now) {
                Joining::Alone => None,
                Joining::Follow(_) => {
                    inner.metrics.looked_up(Lookup::Merged);
                    landings.get(&id).cloned()
                }
                Joining::Lead(ticket) => {
                    inner.metrics.looked_up(Lookup::Miss);
                    let (sender, landing) = watch::channel(None);
                    landings.insert(id, landing.clone());
                    let flight = FlightGuard { directory: self.clone(), id, ticket };
                    tokio::spawn(flight.fly(request_id.clone(), sender).in_current_span());
                    Some(landing)
                }
            }
        };
        let Some(landing) = &mut landing else {
            inner.metrics.looked_up(Lookup::Unleased);
            return inner.source.lookup(id, request_id).await;
        };
        match landing.wait_for(Option::is_some).await.map(|landed| landed.clone()) {
            Ok(Some(landed)) => landed,
            Ok(None) | Err(_) => Err(ApiError::internal("a fetch ended without an answer")),
        }
    }
}

impl<D> Inner<D> {
    fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of a tenant. It may be used where the lease was held before this was called.
    fn cached(&self, id: &TenantId) -> Option<Known> {
        self.known.get(id).or_else(|| self.unknown.get(id))
    }
}

/// A fetch that others wait for. However it ends, the next caller can begin another.
struct FlightGuard<D> {
    directory: CachedDirectory<D>,
    id: TenantId,
    ticket: Ticket,
}

impl<D: TenantDirectory> FlightGuard<D> {
    /// A task of its own: the fetch must go on for the other callers when the first one leaves.
    async fn fly(self, request_id: RequestId, landed: watch::Sender<Option<Result<Known, ApiError>>>) {
        let inner = &*self.directory.0;
        let deadline = Instant::now() + REPEATED_FOR;
        let mut backoff = Backoff::default();
        loop {
            let fetched = inner.source.lookup(self.id, &request_id).await;
            if let Some(answer) = self.land(fetched) {
                landed.send_replace(Some(answer));
                return;
            }
            if Instant::now() > deadline {
                landed.send_replace(Some(Err(unavailable("every answer is older than what has been seen"))));
                return;
            }
            inner.metrics.repeated();
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// Caches a fetched answer, and returns it for the callers that wait. `None` if a change has overtaken it: fetch again.
    fn land(&self, fetched: Result<Known, ApiError>) -> Option<Result<Known, ApiError>> {
        let inner = &*self.directory.0;
        let mut following = inner.following();
        if let Ok(known) = &fetched {
            match following.flights.land(&self.id, self.ticket, known.revision) {
                FetchOutcome::Repeat => return None,
                // Under the lock: a change that comes now finds it in the cache, and drops it.
                FetchOutcome::Keep => {
                    if known.tenant.is_some() {
                        inner.known.insert(self.id, known.clone());
                    } else {
                        inner.unknown.insert(self.id, known.clone());
                    }
                }
                FetchOutcome::Discard => return Some(Err(ApiError::internal("a fetch that was given up has landed"))),
            }
        } else {
            following.flights.abandon(&self.id, self.ticket);
        }
        following.landings.remove(&self.id);
        Some(fetched)
    }
}

impl<D> Drop for FlightGuard<D> {
    fn drop(&mut self) {
        let mut following = self.directory.0.following();
        if following.flights.abandon(&self.id, self.ticket) {
            following.landings.remove(&self.id);
        }
    }
}
