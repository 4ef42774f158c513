//! What every process of the system does: configuration, telemetry, serving, the edge around handlers, shutdown.

// First: its macro is used by the modules below.
#[macro_use]
pub mod telemetry;

pub mod body;
pub mod config;
pub mod edge;
mod envelope;
mod error;
mod error_frame;
mod failure;
pub mod health;
pub mod laptop;
mod no_sniff;
pub mod passed_on;
pub mod process;
pub mod query;
pub mod relayed;
pub mod serve;
pub mod shutdown;
pub mod websocket;
pub mod workers;

pub use envelope::{Envelope, Success};
pub use error::{ApiError, EdgeWords};
pub use failure::Failure;
