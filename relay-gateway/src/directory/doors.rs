//! The doors that are kept: with what is known of their tenant, and gone with it. A change to any of a tenant's keys is a change
//! to the tenant.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use service::ApiError;
use tokio::sync::OnceCell;

use crate::domain::{
    door::Door,
    tenant::{Generation, TenantState},
};

/// Doors kept at once, some kilobytes each.
const MOST_KEPT: u64 = 10_000;

/// A door nobody came by for so long is dropped: what is known of its tenant may be gone for long.
const KEPT_IDLE: Duration = Duration::from_secs(600);

/// The very knowledge of a tenant, after a change there is another, and the key's text.
type Place = (Generation, Box<str>);

/// Doors by the knowledge they belong to.
pub(super) struct Doors(Cache<Place, Arc<OnceCell<Arc<Door>>>>);

impl Doors {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST_KEPT).time_to_idle(KEPT_IDLE).build())
    }

    /// Whether the door as the key opens it is kept.
    pub(super) fn has(&self, tenant: &TenantState, widget_key: &str) -> bool {
        let place: Place = (tenant.generation, widget_key.into());
        self.0.get(&place).is_some_and(|cell| cell.initialized())
    }

    /// The door as the key opens it, fetched where it is not kept; many who want one share a fetch.
    pub(super) async fn get(
        &self,
        tenant: &TenantState,
        widget_key: &str,
        fetch: impl AsyncFnOnce() -> Result<Arc<Door>, ApiError>,
    ) -> Result<Arc<Door>, ApiError> {
        let place: Place = (tenant.generation, widget_key.into());
        let cell = self.0.get_with_by_ref(&place, Arc::default);
        let door = cell.get_or_try_init(|| fetch()).await?;
        if door.widget.is_none() && !widget_key.is_empty() {
            // Whoever invents keys is not to push out those that are real.
            self.0.invalidate(&place);
        }
        Ok(Arc::clone(door))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use wire::{TenantId, origin::OriginPolicy, signature::TenantKey};
    use uuid::Uuid;

    use super::*;
    use crate::domain::door::Widget;

    fn tenant() -> TenantState {
        TenantState {
            id: TenantId::generate(),
            suspended: false,
            key: TenantKey::new(b"k"),
            rate_limit_per_min: NonZeroU32::MIN,
            rate: Default::default(),
            file_upload_enabled: true,
            token_generation: 0,
            visitor_revocations: 0,
            sessions_ended: 0,
            generation: Generation::next(),
        }
    }

    fn door(opens: bool) -> Arc<Door> {
        let widget =
            opens.then(|| Widget { key_id: Uuid::new_v4(), sessions_per_hour: NonZeroU32::MIN, config: "{}".into() });
        Arc::new(Door { policy: OriginPolicy::default(), widget })
    }

    #[tokio::test]
    async fn a_door_is_kept_with_its_tenant_and_one_that_no_key_opens_is_not() {
        let (doors, before, after) = (Doors::new(), tenant(), tenant());
        let fetches = std::cell::Cell::new(0);
        let get = async |tenant: &TenantState, key: &str, opens| {
            let fetch = async || {
                fetches.set(fetches.get() + 1);
                Ok(door(opens))
            };
            doors.get(tenant, key, fetch).await.expect("a door");
            fetches.get()
        };
        assert_eq!([get(&before, "pk_1", true).await, get(&before, "pk_1", true).await], [1, 1]);
        assert_eq!(get(&after, "pk_1", true).await, 2, "what is known of the tenant is other knowledge");
        assert_eq!([get(&after, "pk_no", false).await, get(&after, "pk_no", false).await], [3, 4], "invented");
        assert_eq!([get(&after, "", false).await, get(&after, "", false).await], [5, 5], "what the tenant allows");
    }

    #[tokio::test]
    async fn many_who_want_one_door_share_a_fetch_and_a_failure_is_not_kept() {
        let (doors, tenant) = (Doors::new(), tenant());
        let fetches = std::cell::Cell::new(0);
        let slow = async || {
            fetches.set(fetches.get() + 1);
            tokio::task::yield_now().await;
            Ok(door(true))
        };
        let failed = doors.get(&tenant, "pk_1", async || Err(ApiError::internal("away"))).await;
        assert!(failed.is_err());
        let all = (0..10).map(|_| doors.get(&tenant, "pk_1", slow));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(fetches.get(), 1);
    }
}
