//! What widget keys allow, kept with what is known of their tenant and dropped with it. A change to any of a tenant's keys is a
//! change to the tenant.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use service::ApiError;
use tokio::sync::OnceCell;

use crate::domain::{
    tenant::{Generation, TenantState},
    widget_access::WidgetAccess,
};

/// Entries kept at once, some kilobytes each.
const MOST_KEPT: u64 = 10_000;

/// An entry that no call has used for this long is dropped: after a change of its tenant, no call can find it any more.
const KEPT_IDLE: Duration = Duration::from_secs(600);

/// The generation of the tenant's cached state, which is new after each change of the tenant, and the key's text.
type CacheKey = (Generation, Box<str>);

/// What widget keys allow, by the tenant's generation and the key.
pub(super) struct WidgetAccessCache(Cache<CacheKey, Arc<OnceCell<Arc<WidgetAccess>>>>);

impl WidgetAccessCache {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST_KEPT).time_to_idle(KEPT_IDLE).build())
    }

    /// Whether what the key allows is kept.
    pub(super) fn has(&self, tenant: &TenantState, widget_key: &str) -> bool {
        let place: CacheKey = (tenant.generation, widget_key.into());
        self.0.get(&place).is_some_and(|cell| cell.initialized())
    }

    /// What the key allows, fetched where it is not kept. Callers who want the same key share a fetch.
    pub(super) async fn get(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        fetch: impl AsyncFnOnce() -> Result<Arc<WidgetAccess>, ApiError>,
    ) -> Result<Arc<WidgetAccess>, ApiError> {
        let place: CacheKey = (tenant.generation, widget_key.into());
        let cell = self.0.get_with_by_ref(&place, Arc::default);
        let access = cell.get_or_try_init(|| fetch()).await?;
        if access.widget.is_none() && !widget_key.is_empty() {
            // A caller that invents keys must not evict the entries of real ones.
            self.0.invalidate(&place);
        }
        Ok(Arc::clone(access))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use uuid::Uuid;
    use wire::{TenantId, origin::OriginPolicy, signature::TenantKey};

    use super::*;
    use crate::domain::widget_access::Widget;

    fn tenant() -> TenantState {
        TenantState {
            id: TenantId::generate(),
            suspended: false,
            key: TenantKey::new(b"k"),
            previous: None,
            rate_limit_per_min: NonZeroU32::MIN,
            file_upload_enabled: true,
            storage_gb_quota: 0,
            token_generation: 0,
            visitor_revocations: 0,
            sessions_ended: 0,
            operators_changed: 0,
            generation: Generation::next(),
        }
    }

    fn widget_access(opens: bool) -> Arc<WidgetAccess> {
        let widget =
            opens.then(|| Widget { key_id: Uuid::new_v4(), sessions_per_hour: NonZeroU32::MIN, config: "{}".into() });
        Arc::new(WidgetAccess { policy: OriginPolicy::default(), widget })
    }

    #[tokio::test]
    async fn an_entry_is_kept_with_its_tenant_and_one_of_an_unknown_key_is_not() {
        let (accesses, before, after) = (WidgetAccessCache::new(), tenant(), tenant());
        let fetches = std::cell::Cell::new(0);
        let get = async |tenant: &TenantState, key: &str, opens| {
            let fetch = async || {
                fetches.set(fetches.get() + 1);
                Ok(widget_access(opens))
            };
            accesses.get(tenant, key, fetch).await.expect("it is fetched");
            fetches.get()
        };
        assert_eq!([get(&before, "pk_1", true).await, get(&before, "pk_1", true).await], [1, 1]);
        assert_eq!(get(&after, "pk_1", true).await, 2, "what is known of the tenant is other knowledge");
        assert_eq!([get(&after, "pk_no", false).await, get(&after, "pk_no", false).await], [3, 4], "invented");
        assert_eq!([get(&after, "", false).await, get(&after, "", false).await], [5, 5], "what the tenant allows");
    }

    #[tokio::test]
    async fn callers_of_one_key_share_a_fetch_and_a_failure_is_not_kept() {
        let (accesses, tenant) = (WidgetAccessCache::new(), tenant());
        let fetches = std::cell::Cell::new(0);
        let slow = async || {
            fetches.set(fetches.get() + 1);
            tokio::task::yield_now().await;
            Ok(widget_access(true))
        };
        let failed = accesses.get(&tenant, "pk_1", async || Err(ApiError::internal("away"))).await;
        assert!(failed.is_err());
        let all = (0..10).map(|_| accesses.get(&tenant, "pk_1", slow));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(fetches.get(), 1);
    }
}
