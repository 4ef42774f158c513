//! The gateway through its own doors, between an admin service and a chat backend that fail on surprise.

mod backend;
mod ending;
mod facade;
mod fakes;
mod framing;
mod holding;
mod known_visitors;
mod leased;
mod openapi;
mod owned;
mod patience;
mod refusals;
mod replays;
mod signing_keys;
mod sockets;
mod visitors;
