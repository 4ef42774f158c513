//! Which sockets are open, so that a change can find those it forbids. Knows neither the participants nor what forbids a socket.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use wire::TenantId;

use super::closing::Closing;

/// What a socket is told from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct SocketCommand {
    pub(super) close: Option<Closing>,
    /// A frame for the browser.
    pub(super) frame: Option<Arc<str>>,
}

/// The open sockets, each with the grounds `G` by which it is judged.
pub(super) struct Registry<G> {
    inner: Mutex<Inner<G>>,
}

struct Inner<G> {
    next: u64,
    open: usize,
    /// No more are opened.
    is_closed: bool,
    tenants: HashMap<TenantId, HashMap<u64, Open<G>>>,
}

/// An open socket as others see it. Cloning shares it.
pub(super) struct Open<G> {
    pub(super) grounds: Arc<G>,
    command: watch::Sender<SocketCommand>,
}

impl<G> Clone for Open<G> {
    fn clone(&self) -> Self {
        Self { grounds: Arc::clone(&self.grounds), command: self.command.clone() }
    }
}

/// A socket's slot. Drop it, and every clone of `command`, only when nothing passes through the socket any more: [`Open::closed`]
/// returns then, and the change that waits for it is acknowledged.
pub(super) struct SocketSlot<G> {
    registry: Arc<Registry<G>>,
    id: u64,
    tenant_id: TenantId,
    pub(super) command: watch::Receiver<SocketCommand>,
}

impl<G> Default for Registry<G> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { next: 0, open: 0, is_closed: false, tenants: HashMap::new() }) }
    }
}

impl<G> Registry<G> {
    fn inner(&self) -> MutexGuard<'_, Inner<G>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot. Judge the socket afterwards: the judgement then sees each change that came before the slot, and a change that
    /// comes later finds the socket here.
    ///
    /// # Errors
    /// [`Closing::Restarting`] once the registry was closed.
    pub(super) fn take(self: &Arc<Self>, tenant_id: TenantId, grounds: &Arc<G>) -> Result<SocketSlot<G>, Closing> {
        let mut inner = self.inner();
        if inner.is_closed {
            return Err(Closing::Restarting);
        }
        inner.open += 1;
        inner.next += 1;
        let id = inner.next;
        let (sender, command) = watch::channel(SocketCommand::default());
        let open = Open { grounds: Arc::clone(grounds), command: sender };
        inner.tenants.entry(tenant_id).or_default().insert(id, open);
        Ok(SocketSlot { registry: Arc::clone(self), id, tenant_id, command })
    }

    /// The tenants that have open sockets. `Some(named)` limits the answer to these tenants.
    pub(super) fn tenants(&self, named: Option<&[TenantId]>) -> Vec<TenantId> {
        let inner = self.inner();
        match named {
            Some(named) => named.iter().filter(|id| inner.tenants.contains_key(id)).copied().collect(),
            None => inner.tenants.keys().copied().collect(),
        }
    }

    /// A tenant's sockets.
    pub(super) fn of(&self, tenant_id: TenantId) -> Vec<Open<G>> {
        self.inner().tenants.get(&tenant_id).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// Every socket.
    pub(super) fn all(&self) -> Vec<Open<G>> {
        self.inner().tenants.values().flat_map(HashMap::values).cloned().collect()
    }

    /// Opens no more sockets, and answers those that are open.
    pub(super) fn close(&self) -> Vec<Open<G>> {
        self.inner().is_closed = true;
        self.all()
    }

    pub(super) fn count(&self) -> usize {
        self.inner().open
    }
}

impl<G> Open<G> {
    /// Tells the socket to close. [`Open::closed`] says when it has.
    pub(super) fn close(&self, closing: Closing) {
        self.command.send_modify(|command| command.close = Some(closing));
    }

    /// Has the socket send a frame to its browser. A later frame replaces one that was not sent yet.
    pub(super) fn tell(&self, frame: Arc<str>) {
        self.command.send_modify(|command| command.frame = Some(frame));
    }

    /// Returns once nothing passes through the socket any more.
    pub(super) async fn closed(&self) {
        self.command.closed().await;
    }
}

impl<G> Drop for SocketSlot<G> {
    fn drop(&mut self) {
        let mut inner = self.registry.inner();
        if let Some(sockets) = inner.tenants.get_mut(&self.tenant_id) {
            sockets.remove(&self.id);
            if sockets.is_empty() {
                inner.tenants.remove(&self.tenant_id);
            }
        }
        inner.open -= 1;
    }
}
