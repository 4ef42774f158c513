//! What a tenant's own message may bring with it: the same attachments as a visitor's. PROTOCOL.md, section 4, *Attachments*.

use std::sync::LazyLock;

use memchr::{memchr2_iter, memmem::Finder};
use serde_json::Value;
use service::ApiError;
use wire::{ErrorCode, attachments, frames::limits::SIGNED_MESSAGE_ATTACHMENTS};

use crate::{domain::tenant::TenantState, errors::files_disabled};

/// Refuses a message with an attachment that would break its readers, or that the tenant does not take.
///
/// # Errors
/// `validation_failed`, `feature_disabled`; `malformed_json` where attachments may be hidden in what is not JSON here and may be to
/// a backend.
pub(super) fn check_attachments(body: &[u8], tenant: &TenantState) -> Result<(), ApiError> {
    // Most messages have none, and reading JSON costs as much as verifying the call.
    if !may_have_some(body) {
        return Ok(());
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else {
        return Err(ApiError::new(ErrorCode::MalformedJson, "The message is not a JSON object in UTF-8."));
    };
    let Some(given) = object.remove("attachments").filter(|given| !given.is_null()) else { return Ok(()) };
    let read =
        attachments::read(given, SIGNED_MESSAGE_ATTACHMENTS).map_err(|wrong| ApiError::field("attachments", wrong))?;
    if read.is_empty() || tenant.file_upload_enabled { Ok(()) } else { Err(files_disabled()) }
}

/// Whether attachments are named: plainly, by an escape, or in another encoding of Unicode.
fn may_have_some(body: &[u8]) -> bool {
    // Made once: making a finder costs as much as searching a small message.
    static PLAIN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"ttachments"));
    PLAIN.find(body).is_some()
        || memchr2_iter(b'\\', 0, body).any(|at| body[at] == 0 || body.get(at + 1) == Some(&b'u'))
        || body.starts_with(b"\xef\xbb\xbf")
}
