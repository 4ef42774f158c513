//! How "immediate" is kept without asking on every request: leases, changes and acknowledgements between the admin
//! service's replicas and the gateways, as pure state machines. Time and messages in, decisions out; no clock, no
//! network, no database.
//!
//! The promise: once a change has returned, no gateway uses what was true before it. Why it holds:
//!
//! - A gateway uses its cache only under a [`gateway::Lease`], which it counts from the moment it *asked*. The replica that
//!   answers has read the directory's revision after that moment, and the answer carries every change up to it. So whoever
//!   uses an old state at time *x* holds a lease whose reading came before the change's commit *t*, and *x* < *t* + TTL.
//! - So a change that waits one TTL after its commit is right with no message at all. Everything else only makes it fast:
//!   a replica that knows that every gateway it leased to has acknowledged (or that its lease has run out) says so
//!   ([`replica::Leases::is_done`]), and the change returns when all who could have leased have said so
//!   ([`replica::PendingChange`]).
//! - What is lost, late or dead can therefore make it slow, by one TTL, and never wrong.
//!
//! What the owner of these machines must see to: a gateway's name is new at each start (two processes under one name would
//! acknowledge for each other); a database restored from a backup is another directory (its revisions begin again, so
//! gateways are told to start over, and what they have seen of the other acknowledges nothing); `committed` is taken after
//! the commit has returned.
//!
//! `model` holds it against every order of events in small fleets, and holds broken variants against the same property.

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

/// A period as whoever may rely on it counts it: less what the clocks may differ.
fn shortened(period_ms: u64) -> u64 {
    period_ms - period_ms * DRIFT_PERCENT / 100
}

/// A period as whoever waits for its end counts it: and what the clocks may differ.
fn lengthened(period_ms: u64) -> u64 {
    period_ms + (period_ms * DRIFT_PERCENT).div_ceil(100)
}

/// A run of changes: whoever has seen everything up to `after` has, with these, seen everything up to `through`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changes<K> {
    /// What must have been seen before.
    pub after: Revision,
    /// What has been seen then.
    pub through: Revision,
    /// What changed in between; `None` where that is not known (a start-over): anything may have.
    pub keys: Option<Vec<K>>,
}
