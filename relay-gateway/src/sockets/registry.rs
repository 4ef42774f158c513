//! Which sockets are open, so that a change can find those it forbids, and so that there are not too many.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use wire::{SessionId, TenantId};

use super::{AuthenticatedVisitor, closing::Closing, grounds::Grounds};
use crate::{config::SocketLimits, domain::widget_access::WidgetAccess};

/// What a socket is told from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct SocketCommand {
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
    /// What the widget key allows, once that is known; none for minted tokens, which need no key.
    access: Option<Arc<WidgetAccess>>,
    command: watch::Sender<SocketCommand>,
}

/// An open socket as others see it.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) grounds: Grounds,
    pub(super) signed_by: Arc<str>,
    pub(super) access: Option<Arc<WidgetAccess>>,
    pub(super) command: watch::Sender<SocketCommand>,
}

/// A socket's slot; dropping it says that nothing passes through the socket any more.
#[derive(Debug)]
pub(super) struct SocketSlot {
    registry: Arc<Registry>,
    id: u64,
    tenant_id: TenantId,
    session: SessionId,
    grounds: Grounds,
    pub(super) command: watch::Receiver<SocketCommand>,
}

impl Registry {
    pub(super) fn new(limits: SocketLimits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, if one is free. Judge the socket afterwards: the judgement then sees each change that came before the slot, and a
    /// change that comes later finds the socket here.
    pub(super) fn take(self: &Arc<Self>, visitor: &AuthenticatedVisitor) -> Result<SocketSlot, Closing> {
        let (tenant_id, session) = (visitor.token.tenant_id, visitor.counted_as);
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
        let (sender, command) = watch::channel(SocketCommand::default());
        let grounds = Grounds::of(&visitor.token.opens);
        let signed_by = visitor.token.key_id.as_str().into();
        let entry = Entry { grounds: grounds.clone(), signed_by, access: None, command: sender };
        inner.tenants.entry(tenant_id).or_default().insert(id, entry);
        Ok(SocketSlot { registry: Arc::clone(self), id, tenant_id, session, grounds, command })
    }

    /// Notes what a socket's widget key allows now.
    pub(super) fn set_widget_access(&self, tenant_id: TenantId, id: u64, access: &Arc<WidgetAccess>) {
        if let Some(entry) = self.inner().entry(tenant_id, id) {
            entry.access = Some(Arc::clone(access));
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
        let Entry { grounds, signed_by, access, command } = entry.clone();
        Self { id, grounds, signed_by, access, command }
    }
}

impl Inner {
    fn entry(&mut self, tenant_id: TenantId, id: u64) -> Option<&mut Entry> {
        self.tenants.get_mut(&tenant_id)?.get_mut(&id)
    }
}

impl SocketSlot {
    /// What its admission rests on.
    pub(super) fn grounds(&self) -> Grounds {
        self.grounds.clone()
    }

    /// Notes what the widget key allowed at admission, unless a change has noted something newer.
    pub(super) fn was_admitted_by(&self, access: &Arc<WidgetAccess>) {
        if let Some(entry) = self.registry.inner().entry(self.tenant_id, self.id) {
            entry.access.get_or_insert_with(|| Arc::clone(access));
        }
    }
}

impl Drop for SocketSlot {
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
