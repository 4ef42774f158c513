//! When to try again after a failure: each pause is twice as long as the one before, and none is longer than five seconds.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use wire::TenantId;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses after failures: one for everyone, where no tenant's rows can be sent, and one for each tenant whose rows cannot.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    everyone: Option<Pause>,
    tenants: HashMap<TenantId, Pause>,
    /// Whether the log says that publishing fails.
    is_reported: bool,
}

#[derive(Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Pause {
    fn after(before: Option<&Self>) -> Self {
        let length = before.map_or(FIRST, |before| (before.length * 2).min(LONGEST));
        // Jitter: backends that failed together do not come back together.
        Self { length, until: Instant::now() + length.mul_f64(0.5 + fastrand::f64() / 2.0) }
    }

    fn left(&self) -> Option<Duration> {
        self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

impl Pauses {
    /// How long nothing must be sent; `None` if something may be.
    pub(super) fn left_of_everyone(&self) -> Option<Duration> {
        self.everyone.as_ref().and_then(Pause::left)
    }

    /// Whether this tenant's rows must wait.
    pub(super) fn is_paused(&self, tenant_id: TenantId) -> bool {
        self.tenants.get(&tenant_id).is_some_and(|pause| pause.left().is_some())
    }

    /// How long until a paused tenant may be tried again; zero where one may be already, the longest pause where none is paused.
    pub(super) fn shortest_left(&self) -> Duration {
        self.tenants.values().map(|pause| pause.left().unwrap_or_default()).min().unwrap_or(LONGEST)
    }

    /// Nothing can be sent for any tenant.
    pub(super) fn everyone_failed(&mut self, reason: &str) {
        self.everyone = Some(Pause::after(self.everyone.as_ref()));
        self.report(reason);
    }

    /// This tenant's rows could not be sent.
    pub(super) fn tenant_failed(&mut self, tenant_id: TenantId, reason: &str) {
        let pause = Pause::after(self.tenants.get(&tenant_id));
        self.tenants.insert(tenant_id, pause);
        self.report(reason);
    }

    /// A batch of this tenant's is done.
    pub(super) fn succeeded(&mut self, tenant_id: TenantId) {
        self.everyone = None;
        self.tenants.remove(&tenant_id);
        self.report_healed();
    }

    /// Forgets tenants that have no rows any more.
    pub(super) fn keep_only(&mut self, tenants: &[TenantId]) {
        if !self.tenants.is_empty() {
            self.tenants.retain(|tenant_id, _| tenants.contains(tenant_id));
        }
    }

    /// Logs the first failure. The log hears no more of it until everything is published again.
    fn report(&mut self, reason: &str) {
        if !self.is_reported {
            self.is_reported = true;
            tracing::warn!(reason, "events cannot be published to the admin service: they are kept, and sent again");
        }
    }

    fn report_healed(&mut self) {
        if self.is_reported && self.everyone.is_none() && self.tenants.is_empty() {
            self.is_reported = false;
            tracing::info!("events are published again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let (mut pauses, tenant_id, other) = (Pauses::default(), TenantId::generate(), TenantId::generate());
        let mut lengths = Vec::new();
        for _ in 0..8 {
            pauses.tenant_failed(tenant_id, "why");
            lengths.push(pauses.tenants[&tenant_id].length.as_millis());
        }
        assert_eq!(lengths, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(pauses.is_paused(tenant_id) && !pauses.is_paused(other) && pauses.left_of_everyone().is_none());
        assert!(pauses.shortest_left() >= LONGEST / 4 && pauses.is_reported);
        pauses.everyone_failed("why");
        assert!(pauses.left_of_everyone().is_some_and(|left| left <= FIRST));
        pauses.succeeded(other);
        assert!(pauses.left_of_everyone().is_none() && pauses.is_reported, "one tenant still fails");
        pauses.succeeded(tenant_id);
        assert!(!pauses.is_paused(tenant_id) && !pauses.is_reported);
    }

    #[test]
    fn tenants_without_rows_are_forgotten() {
        let (mut pauses, tenant_id, other) = (Pauses::default(), TenantId::generate(), TenantId::generate());
        pauses.tenant_failed(tenant_id, "why");
        pauses.tenant_failed(other, "why");
        pauses.keep_only(&[other]);
        assert_eq!(pauses.tenants.keys().collect::<Vec<_>>(), [&other]);
    }
}
