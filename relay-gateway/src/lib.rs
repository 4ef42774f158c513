//! The relay gateway: faces the internet, verifies signed calls, forwards them to the chat backend.
//!
//! One way through: [`server`] → `ingress` → `domain` (pure admission) with `directory` and `backend` behind it. It holds
//! nothing durable and knows tenants only through the admin service.

mod admin;
mod backend;
pub mod config;
mod directory;
#[doc(hidden)] // Public for the benchmarks alone.
pub mod domain;
mod errors;
mod ingress;
#[doc(hidden)] // Public for the benchmarks alone.
pub mod limits;
mod metrics;
pub mod server;
mod signing_keys;
mod sockets;

pub use ingress::openapi;
#[doc(hidden)] // Public for the benchmarks alone.
pub use ingress::signature_headers;
