//! What both services must agree on, and nothing that only one of them needs.
//!
//! Wire facts ([`TenantId`], [`origin`], [`signature`], [`ErrorCode`]), and the plumbing every process
//! has: [`config`], [`telemetry`], the HTTP [`edge`] and [`serve`].

pub mod attachments;
pub mod body;
pub mod coherence;
pub mod config;
pub mod edge;
mod error;
pub mod fields;
pub mod health;
pub mod laptop;
pub mod origin;
pub mod process;
pub mod query;
pub mod request_id;
pub mod serve;
mod session_id;
pub mod shutdown;
pub mod signature;
pub mod telemetry;
mod tenant_id;
pub mod time;
pub mod websocket;
pub mod workers;

pub use error::{ApiError, Envelope, ErrorCode, Failure, FieldError, Success};
pub use session_id::{InvalidSessionId, SessionId};
pub use tenant_id::{InvalidTenantId, TenantId};
