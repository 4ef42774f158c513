//! What a tenant's own message may bring with it: the same attachments as a visitor's. Contract, section 4, *Attachments*.

use memchr::memmem;
use serde_json::Value;
use shared::{ApiError, attachments};

use crate::domain::{frame::disabled, tenant::TenantState};

/// Attachments of one message.
const MOST: usize = 20;

/// Refuses a message with an attachment that breaks those who read it, or that the tenant takes none of. A body that is not a
/// JSON object is the backend's to refuse.
///
/// # Errors
/// `validation_failed`, `feature_disabled`.
pub(super) fn check_attachments(body: &[u8], tenant: &TenantState) -> Result<(), ApiError> {
    // Most messages have none, and reading JSON costs as much as verifying the call. An escape could spell the name.
    if memmem::find(body, b"attachments").is_none() && memmem::find(body, b"\\u").is_none() {
        return Ok(());
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else { return Ok(()) };
    let Some(given) = object.remove("attachments").filter(|given| !given.is_null()) else { return Ok(()) };
    let read = attachments::read(given, MOST).map_err(|wrong| ApiError::field("attachments", wrong))?;
    if read.is_empty() || tenant.file_upload_enabled { Ok(()) } else { Err(disabled()) }
}
