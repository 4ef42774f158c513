//! What is fixed on the wire: ids, origins, signatures, times, error codes, socket frames, events, forms. It knows no server, no client and no
//! configuration.

pub mod attachments;
pub mod contact_form;
mod error_catalogue;
mod error_code;
pub mod events;
pub mod fields;
pub mod frames;
pub mod operator;
pub mod origin;
pub mod request_id;
mod session_id;
pub mod signature;
mod tenant_id;
pub mod time;
pub mod widget;

pub use error_code::{ErrorCode, FieldError, GrpcStatus};
pub use session_id::{InvalidSessionId, SessionId};
pub use tenant_id::{InvalidTenantId, TenantId};
