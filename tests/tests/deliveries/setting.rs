//! What both tests run on: two replicas, with times that are short enough to run out in a test, and tenants with receivers.

use std::time::Duration;

use e2e::{fleet::Fleet, postgres::Postgres, receiver::Receiver, signed::Tenant};
use serde_json::json;

/// How long an attempt may take.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1000);
/// How long a claim stands: twice as long as an attempt.
pub(crate) const CLAIM: Duration = Duration::from_millis(2000);
/// How long a lease of a replica's workers stands.
pub(crate) const LEASE: Duration = Duration::from_millis(1000);

/// Starts two replicas on a database of this name.
pub(crate) async fn fleet(postgres: &Postgres, name: &str) -> Fleet {
    let url = postgres.database(name);
    let millis = |time: Duration| time.as_millis().to_string();
    let settings = [
        ("ADMIN_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ("ADMIN_WEBHOOK_TIMEOUT_MS", &millis(TIMEOUT)),
        ("ADMIN_WEBHOOK_RETRY_BASE_MS", "100"),
        ("ADMIN_LEASE_MS", &millis(LEASE)),
        // A replica that is paused within a transaction holds up the other one for this long.
        ("ADMIN_DATABASE_STATEMENT_TIMEOUT_MS", "2000"),
        ("ADMIN_ACCESS_LOG", "false"),
    ];
    Fleet::start(Some(&url), 0, &settings).await
}

/// Fails where a replica has panicked.
pub(crate) fn nobody_panicked(fleet: &Fleet) {
    for replica in &fleet.replicas {
        let log = replica.process.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Provisions tenants at the first replica. The receiver sees the one with the number 7 as the path `t7`.
pub(crate) async fn tenants(fleet: &Fleet, receiver: &Receiver, count: usize) -> Vec<Tenant> {
    let operator = fleet.replicas[0].operator();
    let mut tenants = Vec::new();
    for index in 0..count {
        let callback = receiver.base(&format!("t{index}"));
        let fields = json!({"tenant_name": format!("Tenant {index}"), "callback_url_base": callback});
        tenants.push(operator.provision(fields).await);
    }
    tenants
}
