//! The chat backend: transport, headers, time-outs and HMAC#2. Knows no tenant's secret. PROTOCOL.md, section 4.

mod acceptance;
mod chat_backend;
mod headers;
mod link;
mod pool;
mod signature_check;
mod sockets;
mod streamed;
mod upload_client;
mod uploads;
mod upstream;
mod upstream_error;
mod upstream_state;

pub(crate) use chat_backend::{Backend, Relayed};
pub(crate) use headers::strip_request;
pub(crate) use streamed::Streamed;
pub(crate) use uploads::Upload;
pub(crate) use upstream::Upstream;
pub(crate) use upstream_error::UpstreamError;
