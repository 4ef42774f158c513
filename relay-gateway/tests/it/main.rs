//! The gateway through its own doors, between an admin service and a chat backend that fail on surprise.

mod backend;
mod facade;
mod fakes;
mod leased;
mod openapi;
mod owned;
mod refusals;
mod sockets;
mod visitors;
