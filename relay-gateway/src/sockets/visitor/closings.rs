//! What a visitor's socket is closed with, by why it may not be open.

use std::sync::Arc;

use service::ApiError;
use wire::{ErrorCode, origin::Origin};

use crate::{
    directory::Known,
    domain::{
        tenant::TenantState,
        widget_access::{AccessDenied, WidgetAccess},
    },
    sockets::closing::{Closing, unchecked},
};

/// A reason begins with the `error_code` that a call would be refused with.
pub(super) fn denied(reason: AccessDenied) -> Closing {
    Closing::Forbidden(match reason {
        AccessDenied::Key => "invalid_widget_key: it was rotated or revoked; paste the current embed code",
        AccessDenied::Suspended => "tenant_suspended: ask the platform's operator",
    })
}

/// What it means that the admin service did not admit a visitor.
pub(super) fn over(error: &ApiError) -> Closing {
    match error.code() {
        ErrorCode::InvalidVisitorToken => Closing::Token,
        ErrorCode::TenantSuspended => denied(AccessDenied::Suspended),
        _ => unchecked(error),
    }
}

/// A tenant whose visitors may talk.
pub(super) fn active(known: &Result<Known, ApiError>) -> Result<&TenantState, Closing> {
    let tenant = known.as_ref().map_err(unchecked)?.tenant.as_deref().ok_or(Closing::Token)?;
    if tenant.suspended { Err(denied(AccessDenied::Suspended)) } else { Ok(tenant) }
}

/// Whether pages of this origin may use the widget key.
pub(super) fn allowed(access: &Arc<WidgetAccess>, origin: &Origin) -> Result<(), Closing> {
    if access.allows(origin) {
        Ok(())
    } else {
        Err(Closing::Forbidden("origin_not_allowed: add it to the tenant's allowed_origins"))
    }
}
