//! How a change is true on every gateway when its call returns: leases, changes and acknowledgements between the admin service's
//! replicas and the gateways, as pure state machines. Time and messages go in, decisions come out; no clock, no network, no database.
//!
//! README.md of this crate has the protocol, why it holds, and what the drivers of these machines must see to. `model` searches every
//! order of events in small fleets, and holds broken variants against the same property.

pub mod gateway;
pub mod replica;

#[cfg(test)]
mod model;

/// A point in time on the owner's own clock, in milliseconds. It must go on while the machine is suspended
/// (`CLOCK_BOOTTIME` on Linux). Two processes never compare theirs; they only trust each other's to run at one speed,
/// within [`DRIFT_PERCENT`].
pub type Millis = u64;

/// The directory's revision: one number for the whole database, taken in commit order.
pub type Revision = u64;

/// The longest lease that is granted anywhere, in milliseconds: those who wait for a change to return give up after half a
/// minute.
pub const LONGEST_LEASE_MS: u64 = 25_000;

/// How far two clocks may differ over a lease. Percent.
pub const DRIFT_PERCENT: u64 = 1;

/// A period as the process that relies on it counts it: shortened by the drift that clocks may have. Otherwise a gateway could still
/// use a lease that its replica counts as over.
fn shortened(period_ms: u64) -> u64 {
    period_ms - period_ms * DRIFT_PERCENT / 100
}

/// A period as a process that waits for its end counts it: lengthened by the drift that clocks may have.
fn lengthened(period_ms: u64) -> u64 {
    period_ms + (period_ms * DRIFT_PERCENT).div_ceil(100)
}

/// A run of changes. A gateway or replica that has seen everything up to `after` has, with these, seen everything up to `through`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changes<K> {
    /// The revision that must have been seen before.
    pub after: Revision,
    /// The revision that has been seen with these.
    pub through: Revision,
    /// What changed in between. `None` if that is not known (a start-over): then anything may have changed.
    pub keys: Option<Vec<K>>,
}
