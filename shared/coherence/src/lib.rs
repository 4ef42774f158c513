//! How a change is true on every gateway when its call returns: leases, changes and acknowledgements between the admin service's
//! replicas and the gateways, as pure state machines. Time and messages go in, decisions come out; no clock, no network, no database.
//!
//! README.md of this crate has the protocol, why it holds, and what the drivers of these machines must see to. `model` searches every
//! order of events in small fleets, and holds broken variants against the same property.

mod changes;
pub mod gateway;
pub mod replica;
mod time;

#[cfg(test)]
mod model;

pub use changes::{Changes, Revision};
pub use time::{DRIFT_PERCENT, LONGEST_LEASE_MS, Millis};
