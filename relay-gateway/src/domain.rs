//! Who is let in: pure decisions over what a call carries, what is known of its tenant, and the time.

pub(crate) mod admission;
pub(crate) mod door;
pub(crate) mod floods;
pub(crate) mod frame;
mod limiters;
pub(crate) mod rate;
pub(crate) mod replay;
pub(crate) mod tenant;
pub(crate) mod token;
