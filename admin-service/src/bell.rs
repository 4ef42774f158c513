//! Tells workers that events may be due: the worker that delivers the tenant's outbox now, or else the one that claims outboxes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use wire::TenantId;

/// Tells workers that events may be due. Cloning shares it. A replica's bell is heard by its own workers alone; they also look from time
/// to time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    claiming: Notify,
    delivering: Mutex<HashMap<TenantId, Arc<Notify>>>,
}

/// Hears what is rung for a tenant whose outbox is being delivered, until it is dropped.
pub(crate) struct Listening {
    bell: Bell,
    tenant_id: TenantId,
    rung: Arc<Notify>,
}

impl Bell {
    fn delivering(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Notify>>> {
        self.0.delivering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event of a tenant may be due.
    pub(crate) fn ring(&self, tenant_id: TenantId) {
        match self.delivering().get(&tenant_id) {
            Some(rung) => rung.notify_one(),
            None => self.0.claiming.notify_one(),
        }
    }

    /// Returns once it was rung for a tenant whose outbox nobody delivers.
    pub(crate) async fn rung(&self) {
        self.0.claiming.notified().await;
    }

    /// Hears what is rung for one tenant.
    pub(crate) fn listen(&self, tenant_id: TenantId) -> Listening {
        let rung = Arc::<Notify>::default();
        self.delivering().insert(tenant_id, Arc::clone(&rung));
        Listening { bell: self.clone(), tenant_id, rung }
    }
}

impl Listening {
    /// Returns once it was rung.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut delivering = self.bell.delivering();
        if delivering.get(&self.tenant_id).is_some_and(|rung| Arc::ptr_eq(rung, &self.rung)) {
            delivering.remove(&self.tenant_id);
        }
        drop(delivering);
        // A ring after the turn's last look would be lost with this listener: pass it on to the worker that claims outboxes.
        self.bell.0.claiming.notify_one();
    }
}
