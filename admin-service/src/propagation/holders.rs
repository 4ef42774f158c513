//! Who holds leases: gateways, and the replicas' own workers, which deliver events under the tenants' state. Both are waited for; reports
//! and metrics count gateways alone.

use uuid::{Builder, Uuid};

use super::state::GatewayId;

/// The version of the ids of workers. A gateway's id is random, of version 4.
const WORKERS: usize = 8;

/// A new id for a replica's workers.
pub(crate) fn worker_id() -> GatewayId {
    Builder::from_custom_bytes(*Uuid::new_v4().as_bytes()).into_uuid()
}

/// Whether a holder of a lease is a gateway.
pub(super) fn is_gateway(id: &GatewayId) -> bool {
    id.get_version_num() != WORKERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_no_gateways() {
        assert!(!is_gateway(&worker_id()) && is_gateway(&Uuid::new_v4()) && worker_id() != worker_id());
    }
}
