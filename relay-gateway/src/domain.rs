//! Pure decisions, from what a call carries, what is known of its tenant, and the time.

pub mod admission;
pub mod frame;
pub(crate) mod operator;
pub mod tenant;
pub(crate) mod ticket;
pub(crate) mod token;
pub(crate) mod widget_access;
