//! Tenants' state, as this replica's workers may use it: held under a lease like a gateway's, so that a suspension, a rotation or a
//! changed callback waits until no attempt begins under the old state.
//!
//! An attempt begins in [`TenantStates::begin`], which looks at the lease and at the state under one lock. A change takes the state away
//! under the same lock, then waits for attempts that have begun, and is acknowledged after that.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use coherence::{
    Changes,
    gateway::{FetchOutcome, Joining, Lease, SingleFlight},
};
use ed25519_dalek::SigningKey;
use tokio::{
    sync::{Notify, watch},
    task::JoinError,
    time::timeout,
};
use wire::{TenantId, time::since_boot_ms};

use super::endpoint::Endpoint;
use crate::{
    directory::Directory,
    errors::UseCaseError,
    store::{AtRevision, Position},
};

/// How long a change waits for attempts that have begun.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for a lease before another one is asked for.
const WANTED_EVERY: Duration = Duration::from_millis(200);

/// Why an endpoint is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// There is no such tenant any more.
    #[error("there is no such tenant")]
    NoTenant,
    /// This replica has no lease.
    #[error("this replica holds no lease")]
    NoLease,
    /// The directory.
    #[error(transparent)]
    Directory(#[from] UseCaseError),
    /// An attempt ended without a result.
    #[error("an attempt ended badly: {0}")]
    Panicked(JoinError),
}

/// Tenants' state under a lease. Cloning shares it.
#[derive(Clone)]
pub(super) struct TenantStates(Arc<Shared>);

struct Shared {
    directory: Directory,
    /// Signs `v1a` of Standard Webhooks.
    own_key: SigningKey,
    known: Mutex<Known>,
    /// Whether anybody wanted a state since it was last looked at.
    is_wanted: AtomicBool,
    /// Wakes the task that asks for leases (`following`).
    wanting: Notify,
    /// Moved when the lease is granted, and when an attempt ends.
    moved: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    lease: Lease,
    flights: SingleFlight<TenantId>,
    endpoints: HashMap<TenantId, Arc<Endpoint>>,
    begun: HashMap<TenantId, usize>,
    /// Up to where the directory was followed.
    seen: Option<Position>,
}

/// An attempt that has begun. A change of its tenant waits until this is dropped.
pub(super) struct Begun {
    states: TenantStates,
    tenant_id: TenantId,
    /// Until when the lease vouches for what is sent: milliseconds since boot.
    pub(super) until: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut known = self.states.known();
        if let Some(count) = known.begun.get_mut(&self.tenant_id) {
            *count -= 1;
            if *count == 0 {
                known.begun.remove(&self.tenant_id);
            }
        }
        drop(known);
        self.states.0.moved.send_replace(());
    }
}

impl TenantStates {
    pub(super) fn new(directory: Directory, own_key: SigningKey) -> Self {
        Self(Arc::new(Shared {
            directory,
            own_key,
            known: Mutex::default(),
            is_wanted: AtomicBool::new(false),
            wanting: Notify::new(),
            moved: watch::Sender::new(()),
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant's endpoint, as of a moment after this was called. Waits at most `patience` for a lease.
    pub(super) async fn endpoint(&self, tenant_id: TenantId, patience: Duration) -> Result<Arc<Endpoint>, Unknown> {
        timeout(patience, self.lease_is_held()).await.map_err(|_| Unknown::NoLease)?;
        let ticket = {
            let mut known = self.known();
            let known = &mut *known;
            if known.lease.is_held(since_boot_ms())
                && let Some(endpoint) = known.endpoints.get(&tenant_id)
            {
                return Ok(Arc::clone(endpoint));
            }
            match known.flights.join(tenant_id, &known.lease, since_boot_ms()) {
                Joining::Lead(ticket) => ticket,
                // One worker has an outbox at a time, so nobody else asks for its tenant.
                Joining::Follow(_) | Joining::Alone => return Err(Unknown::NoLease),
            }
        };
        loop {
            let AtRevision { value, revision } = match self.0.directory.tenant(tenant_id).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.known().flights.abandon(&tenant_id, ticket);
                    return Err(error.into());
                }
            };
            let endpoint = match value.as_ref().map(|opened| Endpoint::new(opened, &self.0.own_key)).transpose() {
                Ok(endpoint) => endpoint.map(Arc::new),
                Err(broken) => {
                    self.known().flights.abandon(&tenant_id, ticket);
                    return Err(broken.into());
                }
            };
            let mut known = self.known();
            match known.flights.land(&tenant_id, ticket, revision) {
                FetchOutcome::Keep => {
                    let endpoint = endpoint.ok_or(Unknown::NoTenant)?;
                    known.endpoints.insert(tenant_id, Arc::clone(&endpoint));
                    return Ok(endpoint);
                }
                FetchOutcome::Repeat => {}
                FetchOutcome::Discard => return Err(Unknown::NoLease),
            }
        }
    }

    /// Forgets a tenant whose outbox is done with.
    pub(super) fn forget(&self, tenant_id: TenantId) {
        self.known().endpoints.remove(&tenant_id);
    }

    /// Begins an attempt, if the lease is held and the endpoint is still what `endpoint` says. A change of the tenant waits for the
    /// attempt from here on, but a worker that is paused is waited for only until its lease ends: sign at once, and write the first byte
    /// before [`Begun::until`] or never.
    pub(super) fn begin(&self, tenant_id: TenantId, endpoint: &Arc<Endpoint>) -> Option<Begun> {
        let mut known = self.known();
        let is_current = known.endpoints.get(&tenant_id).is_some_and(|current| Arc::ptr_eq(current, endpoint));
        if !is_current || !known.lease.is_held(since_boot_ms()) {
            return None;
        }
        *known.begun.entry(tenant_id).or_default() += 1;
        Some(Begun { states: self.clone(), tenant_id, until: known.lease.until() })
    }

    /// Waits until this replica holds a lease. Asks again and again meanwhile, because an asking may fail. Also marks a lease that is held
    /// as wanted: otherwise `following` would not renew it.
    pub(super) async fn lease_is_held(&self) {
        let mut moved = self.0.moved.subscribe();
        loop {
            self.0.is_wanted.store(true, Ordering::SeqCst);
            self.0.wanting.notify_one();
            if self.known().lease.is_held(since_boot_ms()) {
                return;
            }
            let _ = timeout(WANTED_EVERY, moved.changed()).await;
        }
    }

    /// Waits until a lease is wanted.
    pub(super) async fn wanted(&self) {
        while !self.0.is_wanted.load(Ordering::SeqCst) {
            self.0.wanting.notified().await;
        }
    }

    /// Whether a lease was wanted since this was last asked, or attempts are under way.
    pub(super) fn was_wanted(&self) -> bool {
        let known = self.known();
        let is_busy = !known.endpoints.is_empty() || !known.begun.is_empty();
        drop(known);
        self.0.is_wanted.swap(false, Ordering::SeqCst) || is_busy
    }

    /// Asks for a lease: the asking's number, and up to where the directory was followed.
    pub(super) fn ask(&self) -> (u64, Option<Position>) {
        let mut known = self.known();
        let asking = known.lease.ask(since_boot_ms());
        (asking.id, known.seen)
    }

    /// Takes changes in: forgets what changed, and waits for attempts that have begun, up to a second. Answers the revision to
    /// acknowledge; `None` where something was lost in between.
    pub(super) async fn apply(&self, changes: &Changes<TenantId>, through: Position) -> Option<u64> {
        {
            let mut known = self.known();
            if changes.keys.is_some() && !known.lease.follows(changes) {
                return None;
            }
            known.flights.invalidate(changes);
            match &changes.keys {
                Some(keys) => keys.iter().for_each(|key| drop(known.endpoints.remove(key))),
                None => known.endpoints.clear(),
            }
        }
        let _ = timeout(PATIENCE, self.no_attempt_of(changes)).await;
        let mut known = self.known();
        known.lease.applied(changes);
        if changes.keys.is_none() || known.seen.is_none_or(|seen| through.revision >= seen.revision) {
            known.seen = Some(through);
        }
        Some(changes.through)
    }

    async fn no_attempt_of(&self, changes: &Changes<TenantId>) {
        let mut moved = self.0.moved.subscribe();
        loop {
            let is_free = {
                let known = self.known();
                match &changes.keys {
                    Some(keys) => keys.iter().all(|key| !known.begun.contains_key(key)),
                    None => known.begun.is_empty(),
                }
            };
            if is_free {
                return;
            }
            let _ = moved.changed().await;
        }
    }

    /// A lease was granted for an asking.
    pub(super) fn granted(&self, id: u64, lease_ms: u32) {
        self.known().lease.granted(id, lease_ms.into());
        self.0.moved.send_replace(());
    }

    /// Begins no attempt under the lease any more, and waits for those that have begun, up to a second.
    pub(super) async fn give_up(&self) {
        {
            let mut known = self.known();
            known.lease.give_up();
            known.endpoints.clear();
        }
        let _ = timeout(PATIENCE, self.no_attempt_of(&Changes { after: 0, through: 0, keys: None })).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::DatabaseConfig, store::connect};

    #[tokio::test]
    async fn a_lease_that_is_waited_for_is_asked_for_until_it_is_granted() {
        let keys = "k1:efve3JSpW3WfCgBrLI99gAocY0x+YB/mP+vXM+ekxN8=".parse().expect("keys");
        let config = DatabaseConfig {
            url: "sqlite::memory:".to_owned().into(),
            max_connections: 1,
            statement_timeout: Duration::from_secs(5),
        };
        let store = connect(&config, &keys).await.expect("opened");
        let states = TenantStates::new(Directory::new(Arc::new(store), keys), SigningKey::from_bytes(&[7; 32]));
        let waiting = tokio::spawn({
            let states = states.clone();
            async move { states.lease_is_held().await }
        });
        let patience = Duration::from_secs(30);
        // Each time the lease is asked for in vain.
        for _ in 0..3 {
            timeout(patience, states.wanted()).await.expect("somebody waits for it");
            assert!(states.was_wanted());
        }
        let (id, _) = states.ask();
        states.granted(id, 60_000);
        timeout(patience, waiting).await.expect("the lease is held").expect("no panic");
    }
}
