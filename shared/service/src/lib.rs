//! What every process of the system does: configuration, telemetry, serving, the edge around handlers, shutdown.

pub mod body;
pub mod client_frame;
pub mod config;
pub mod edge;
mod envelope;
mod error;
pub mod fields;
pub mod health;
pub mod laptop;
pub mod passed_on;
pub mod process;
pub mod query;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod websocket;
pub mod workers;

pub use envelope::{Envelope, Failure, Success};
pub use error::ApiError;
