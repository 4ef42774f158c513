//! Open sockets: of all, and of each tenant, session and address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use service::edge::network;
use wire::{SessionId, TenantId};

use crate::limits::{bounds::SocketBounds, limit::SocketLimit};

/// Counts the open sockets.
pub(crate) struct SocketCounts {
    bounds: SocketBounds,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    tenants: HashMap<TenantId, usize>,
    sessions: HashMap<SessionId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// An open socket's place in every count, until it is dropped.
#[must_use = "dropping it gives the place back"]
pub(crate) struct SocketPlace {
    open: Arc<Mutex<Open>>,
    tenant: TenantId,
    session: SessionId,
    address: IpAddr,
}

impl SocketCounts {
    pub(crate) fn new(bounds: SocketBounds) -> Self {
        Self { bounds, open: Arc::default() }
    }

    /// Takes a place in every count.
    ///
    /// # Errors
    /// The first bound that is reached; then no place is taken.
    pub(crate) fn take(
        &self,
        tenant: TenantId,
        session: SessionId,
        client: IpAddr,
    ) -> Result<SocketPlace, SocketLimit> {
        let (bounds, address) = (self.bounds, network(client));
        let mut open = locked(&self.open);
        let is_full = |count: Option<&usize>, most| count.copied().unwrap_or_default() >= most;
        if open.all >= bounds.all {
            return Err(SocketLimit::All);
        }
        if is_full(open.tenants.get(&tenant), bounds.per_tenant) {
            return Err(SocketLimit::Tenant);
        }
        if is_full(open.sessions.get(&session), bounds.per_session) {
            return Err(SocketLimit::Session);
        }
        if is_full(open.addresses.get(&address), bounds.per_address) {
            return Err(SocketLimit::Address);
        }
        open.all += 1;
        *open.tenants.entry(tenant).or_default() += 1;
        *open.sessions.entry(session).or_default() += 1;
        *open.addresses.entry(address).or_default() += 1;
        Ok(SocketPlace { open: Arc::clone(&self.open), tenant, session, address })
    }
}

fn locked(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        let mut open = locked(&self.open);
        open.all -= 1;
        give_back(&mut open.tenants, self.tenant);
        give_back(&mut open.sessions, self.session);
        give_back(&mut open.addresses, self.address);
    }
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_and_every_place_is_given_back() {
        let counts = SocketCounts::new(SocketBounds { all: 4, per_tenant: 3, per_session: 1, per_address: 2 });
        let [one, other] = [TenantId::generate(), TenantId::generate()];
        let [here, there]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        let take = |tenant, session, client| counts.take(tenant, session, client);
        let session = SessionId::generate();
        let first = take(one, session, here).expect("room");
        assert_eq!(take(one, session, there).err(), Some(SocketLimit::Session));
        let _second = take(one, SessionId::generate(), here).expect("room");
        assert_eq!(take(one, SessionId::generate(), here).err(), Some(SocketLimit::Address));
        let _third = take(one, SessionId::generate(), there).expect("room");
        assert_eq!(take(one, SessionId::generate(), there).err(), Some(SocketLimit::Tenant));
        let _fourth = take(other, SessionId::generate(), there).expect("room");
        assert_eq!(take(other, SessionId::generate(), there).err(), Some(SocketLimit::All));
        drop(first);
        let again = take(one, session, here).expect("given back");
        drop((again, _second, _third, _fourth));
        let open = counts.open.lock().expect("not poisoned");
        assert!(open.all == 0 && open.tenants.is_empty() && open.sessions.is_empty() && open.addresses.is_empty());
    }
}
