//! The gateway through its own doors, between an admin service and a chat backend that fail on surprise.

mod admin_api;
mod backend;
mod fakes;
mod leased;
mod owned;
mod refusals;
