//! Which sockets are open, so that a change can find those it forbids, and so that there are not too many.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wire::{SessionId, TenantId};
use tokio::sync::watch;

use super::{Visit, closing::Closing, judging::Grounds};
use crate::{config::SocketLimits, domain::door::Door};

/// What a socket is told from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Directive {
    pub(super) close: Option<Closing>,
    /// A frame for the browser: its widget has another look.
    pub(super) look: Option<Arc<str>>,
}

/// The open sockets.
#[derive(Debug)]
pub(super) struct Registry {
    limits: SocketLimits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: usize,
    /// No more are opened.
    is_closed: bool,
    tenants: HashMap<TenantId, HashMap<u64, Entry>>,
    sessions: HashMap<SessionId, usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    grounds: Grounds,
    /// The key that signed the token it came with.
    signed_by: Arc<str>,
    /// The door it came in by, once that is known; none where it needs no door.
    door: Option<Arc<Door>>,
    directive: watch::Sender<Directive>,
}

/// An open socket as others see it.
#[derive(Clone, Debug)]
pub(super) struct Open {
    id: u64,
    pub(super) grounds: Grounds,
    pub(super) signed_by: Arc<str>,
    pub(super) door: Option<Arc<Door>>,
    pub(super) directive: watch::Sender<Directive>,
}

/// A socket's place; dropping it says that nothing passes through the socket any more.
#[derive(Debug)]
pub(super) struct Seat {
    registry: Arc<Registry>,
    id: u64,
    tenant_id: TenantId,
    session: SessionId,
    grounds: Grounds,
    pub(super) directive: watch::Receiver<Directive>,
}

impl Registry {
    pub(super) fn new(limits: SocketLimits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, where there is one. Judge the socket after this: a change that comes before it is then in what is known of
    /// the tenant, and one that comes after finds the socket here.
    pub(super) fn take(self: &Arc<Self>, visit: &Visit) -> Result<Seat, Closing> {
        let (tenant_id, session) = (visit.token.tenant_id, visit.counted_as);
        let SocketLimits { most, most_per_tenant, most_per_session } = self.limits;
        let mut inner = self.inner();
        if inner.is_closed {
            return Err(Closing::Restarting);
        }
        if inner.open >= most {
            return Err(Closing::TryAgain("the relay holds as many sockets as it may: connect again later"));
        }
        if inner.tenants.get(&tenant_id).is_some_and(|sockets| sockets.len() >= most_per_tenant) {
            return Err(Closing::TryAgain("the tenant has as many sockets as it may: connect again later"));
        }
        let of_session = inner.sessions.entry(session).or_default();
        if *of_session >= most_per_session {
            return Err(Closing::TooFast("the session has as many sockets as it may: close one"));
        }
        *of_session += 1;
        inner.open += 1;
        inner.next += 1;
        let id = inner.next;
        let (sender, directive) = watch::channel(Directive::default());
        let grounds = Grounds::of(visit);
        let signed_by = visit.token.key_id.as_str().into();
        let entry = Entry { grounds: grounds.clone(), signed_by, door: None, directive: sender };
        inner.tenants.entry(tenant_id).or_default().insert(id, entry);
        Ok(Seat { registry: Arc::clone(self), id, tenant_id, session, grounds, directive })
    }

    /// Notes the door a socket has now.
    pub(super) fn has_door(&self, tenant_id: TenantId, id: u64, door: &Arc<Door>) {
        if let Some(entry) = self.inner().entry(tenant_id, id) {
            entry.door = Some(Arc::clone(door));
        }
    }

    /// Those of the tenants that have sockets; all that have where nobody is named.
    pub(super) fn tenants(&self, named: Option<&[TenantId]>) -> Vec<TenantId> {
        let inner = self.inner();
        match named {
            Some(named) => named.iter().filter(|id| inner.tenants.contains_key(id)).copied().collect(),
            None => inner.tenants.keys().copied().collect(),
        }
    }

    /// A tenant's sockets.
    pub(super) fn of(&self, tenant_id: TenantId) -> Vec<Open> {
        let inner = self.inner();
        let sockets = inner.tenants.get(&tenant_id).into_iter().flatten();
        sockets.map(|(id, entry)| Open::new(*id, entry)).collect()
    }

    /// Opens no more, and answers those that are.
    pub(super) fn close(&self) -> Vec<Open> {
        self.inner().is_closed = true;
        self.all()
    }

    /// Every socket.
    pub(super) fn all(&self) -> Vec<Open> {
        let inner = self.inner();
        inner.tenants.values().flatten().map(|(id, entry)| Open::new(*id, entry)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.inner().open
    }
}

impl Open {
    fn new(id: u64, entry: &Entry) -> Self {
        let Entry { grounds, signed_by, door, directive } = entry.clone();
        Self { id, grounds, signed_by, door, directive }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Inner {
    fn entry(&mut self, tenant_id: TenantId, id: u64) -> Option<&mut Entry> {
        self.tenants.get_mut(&tenant_id)?.get_mut(&id)
    }
}

impl Seat {
    /// What its admission rests on.
    pub(super) fn grounds(&self) -> Grounds {
        self.grounds.clone()
    }

    /// Notes the door a socket came in by, unless a change has noted a newer one.
    pub(super) fn came_in_by(&self, door: &Arc<Door>) {
        if let Some(entry) = self.registry.inner().entry(self.tenant_id, self.id) {
            entry.door.get_or_insert_with(|| Arc::clone(door));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.registry.inner();
        if let Some(sockets) = inner.tenants.get_mut(&self.tenant_id) {
            sockets.remove(&self.id);
            if sockets.is_empty() {
                inner.tenants.remove(&self.tenant_id);
            }
        }
        if let Some(count) = inner.sessions.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                inner.sessions.remove(&self.session);
            }
        }
        inner.open -= 1;
    }
}
