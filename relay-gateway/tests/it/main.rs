//! The gateway from outside, between a fake admin service and a fake chat backend that fail on any call they do not expect.

mod backend;
mod ending;
mod fakes;
mod framing;
mod holding;
mod identifying;
mod known_visitors;
mod leased;
mod openapi;
mod operator_sockets;
mod operators;
mod passthrough;
mod patience;
mod polling;
mod refusals;
mod relay_endpoints;
mod relay_events;
mod replays;
mod signing_keys;
mod socket_changes;
mod socket_closes;
mod sockets;
mod uploads;
mod visitor_tokens;
mod visitors;
