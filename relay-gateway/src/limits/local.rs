//! Counts of this process, in memory. No verb waits.

mod failures;
mod frames;
mod gcra;
mod memory;
mod operators;
mod replays;
mod sessions;
mod slots;
mod sockets;
mod tenants;

pub(crate) use failures::FailureGuard;
pub(super) use failures::Failures;
pub(super) use frames::FrameRates;
pub(super) use gcra::whole_seconds;
pub(super) use memory::BodyMemory;
pub(crate) use memory::HeldBytes;
pub(super) use operators::OperatorRates;
pub(super) use replays::{MOST_TARGETS, ReplayGuard, Replayed, Reservation};
pub(super) use sessions::{SHARES, SessionRates};
pub(super) use slots::{Slot, Slots};
pub(super) use sockets::SocketCounts;
pub(crate) use sockets::SocketPlace;
pub use tenants::TenantRate;
pub(super) use tenants::TenantRates;
