//! Who is let in: pure decisions over what a call carries, what is known of its tenant, and the time.

pub mod admission;
pub(crate) mod door;
pub(crate) mod floods;
pub mod frame;
mod limiters;
pub mod rate;
pub mod replay;
pub mod tenant;
pub(crate) mod token;
