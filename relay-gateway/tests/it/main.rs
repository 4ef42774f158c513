//! The gateway through its own accesses, between an admin service and a chat backend that fail on surprise.

mod backend;
mod ending;
mod fakes;
mod framing;
mod holding;
mod known_visitors;
mod leased;
mod openapi;
mod passthrough;
mod patience;
mod refusals;
mod relay_endpoints;
mod replays;
mod signing_keys;
mod sockets;
mod visitors;
