//! Which tenants' backends still sign with the secret from before a rotation: told to the admin service, so that an operator sees when that
//! secret can be revoked. No call waits for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use service::ApiError;
use tokio_util::sync::CancellationToken;
use wire::TenantId;

use crate::{
    admin::{AdminClient, PreviousUse},
    domain::tenant::PreviousKey,
};

/// A use is noted if the last one of the same secret was noted this long ago.
const NOTED_EVERY_MS: i64 = 3000;
const TOLD_EVERY: Duration = Duration::from_secs(3);
/// What is told in one message.
const TOLD_AT_ONCE: usize = 1000;

/// Uses that the admin service was not told of yet.
#[derive(Default)]
pub(crate) struct PreviousUses(Mutex<HashMap<TenantId, PreviousUse>>);

impl PreviousUses {
    /// Notes that a call was signed with a tenant's previous secret at `now_ms`. Most calls cost one load.
    pub(crate) fn note(&self, tenant_id: TenantId, previous: &PreviousKey, now_ms: i64) {
        let noted_at = previous.noted_at_ms.load(Ordering::Relaxed);
        if (noted_at..noted_at.saturating_add(NOTED_EVERY_MS)).contains(&now_ms) {
            return;
        }
        previous.noted_at_ms.store(now_ms, Ordering::Relaxed);
        let used = PreviousUse { tenant_id, rotated_at_ms: previous.rotated_at_ms, used_at_ms: now_ms };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant_id, used);
    }

    /// Tells the admin service of them from time to time.
    pub(crate) async fn follow(&self, admin: &AdminClient, gateway: &str, stopping: CancellationToken) {
        let mut was_well = true;
        while tokio::time::timeout(TOLD_EVERY, stopping.cancelled()).await.is_err() {
            let told = self.tell_all(admin, gateway).await;
            if let Err(error) = &told
                && was_well
            {
                tracing::warn!(
                    cause = error.cause(),
                    "could not tell where secrets from before a rotation were used: trying again"
                );
            }
            was_well = told.is_ok();
        }
    }

    /// Tells the admin service of all of them. What could not be told waits.
    pub(crate) async fn tell_all(&self, admin: &AdminClient, gateway: &str) -> Result<(), ApiError> {
        loop {
            let uses = self.take();
            if uses.is_empty() {
                return Ok(());
            }
            if let Err(error) = admin.note_previous_uses(gateway, &uses).await {
                self.put_back(uses);
                return Err(error);
            }
        }
    }

    fn take(&self) -> Vec<PreviousUse> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> = waiting.values().take(TOLD_AT_ONCE).copied().collect();
        for used in &told {
            waiting.remove(&used.tenant_id);
        }
        told
    }

    /// Takes back what could not be told; later uses stand.
    fn put_back(&self, uses: Vec<PreviousUse>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for used in uses {
            waiting.entry(used.tenant_id).or_insert(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use wire::signature::TenantKey;

    use super::*;

    #[test]
    fn a_use_is_noted_now_and_then_and_a_later_one_stands() {
        let (uses, tenant_id) = (PreviousUses::default(), TenantId::generate());
        let noted_at_ms = AtomicI64::new(0);
        let previous = PreviousKey { key: TenantKey::new(b"k"), until_boot_ms: 0, rotated_at_ms: 7, noted_at_ms };
        let taken = |uses: &PreviousUses| uses.take().into_iter().map(|used| used.used_at_ms).collect::<Vec<_>>();
        for at in [10_000, 10_001, 12_999] {
            uses.note(tenant_id, &previous, at);
        }
        let first = uses.take();
        assert_eq!(first.iter().map(|used| (used.used_at_ms, used.rotated_at_ms)).collect::<Vec<_>>(), [(10_000, 7)]);
        uses.note(tenant_id, &previous, 13_000);
        uses.put_back(first);
        assert_eq!(taken(&uses), [13_000]);
        // A clock that was set back.
        uses.note(tenant_id, &previous, 5000);
        assert_eq!(taken(&uses), [5000]);
    }
}
