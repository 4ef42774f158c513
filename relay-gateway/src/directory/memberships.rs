//! Operators' memberships, kept for as long as their tenant's `operators_changed` stands: other changes of the tenant, such as the end of
//! a visitor's session, leave them in place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use service::ApiError;
use tokio::sync::OnceCell;
use uuid::Uuid;
use wire::TenantId;

use crate::domain::{operator::Membership, tenant::TenantState};

/// Entries kept at once, some kilobytes each.
const MOST_KEPT: u64 = 10_000;

/// An entry that no call has used for this long is dropped: after a change of its tenant's operators, no call can find it any more.
const KEPT_IDLE: Duration = Duration::from_secs(600);

/// How often the directory was started over, the tenant, its `operators_changed`, and the operator.
type CacheKey = (u64, TenantId, u64, Uuid);

/// Operators' memberships.
pub(super) struct MembershipCache {
    /// A database that was restored from a backup may count to the same revision again, with other operators.
    starts: AtomicU64,
    kept: Cache<CacheKey, Arc<OnceCell<Option<Arc<Membership>>>>>,
}

impl MembershipCache {
    pub(super) fn new() -> Self {
        let kept = Cache::builder().max_capacity(MOST_KEPT).time_to_idle(KEPT_IDLE).build();
        Self { starts: AtomicU64::new(0), kept }
    }

    /// The operator's membership, fetched where it is not kept. Callers who want the same one share a fetch.
    pub(super) async fn get(
        &self,
        tenant: &TenantState,
        operator_id: Uuid,
        fetch: impl AsyncFnOnce() -> Result<Option<Arc<Membership>>, ApiError>,
    ) -> Result<Option<Arc<Membership>>, ApiError> {
        let place: CacheKey = (self.starts.load(Ordering::Acquire), tenant.id, tenant.operators_changed, operator_id);
        let cell = self.kept.get_with_by_ref(&place, Arc::default);
        let membership = cell.get_or_try_init(|| fetch()).await?.clone();
        if membership.is_none() {
            // Gateways are not told when an operator is created, so a kept `None` would hide the new operator.
            self.kept.invalidate(&place);
        }
        Ok(membership)
    }

    /// Nothing that is kept may be used any more.
    pub(super) fn start_over(&self) {
        self.starts.fetch_add(1, Ordering::AcqRel);
        self.kept.invalidate_all();
    }
}
