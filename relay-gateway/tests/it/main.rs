//! The gateway through its own accesses, between an admin service and a chat backend that fail on surprise.

mod backend;
mod ending;
mod passthrough;
mod fakes;
mod framing;
mod holding;
mod known_visitors;
mod leased;
mod openapi;
mod relay_endpoints;
mod patience;
mod refusals;
mod replays;
mod signing_keys;
mod sockets;
mod visitors;
