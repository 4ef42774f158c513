//! The one-process deployment: the admin service, the gateway and an embedded chat backend, on loopback.
//!
//! The services are the same code as the separate processes and talk over the same gRPC and HTTP; only their
//! configuration is made here. `chat-relay backend` starts the chat backend alone.

pub mod config;
mod data_dir;
pub mod demo;
mod next_steps;
pub mod server;
mod wiring;
