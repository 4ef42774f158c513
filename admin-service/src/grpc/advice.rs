//! Advice in the words of gRPC: methods and metadata.

use service::ApiError;
use wire::FieldError;

use crate::{
    advice::Advice,
    domain::refusal::{Hint, RefusedField},
    errors::UseCaseError,
};

/// What a gRPC caller reads after an error's message.
pub(crate) const fn text(advice: Advice) -> &'static str {
    match advice {
        Advice::ListTenants => "TenantAdmin.ListTenants lists them.",
        Advice::SendAccountKey => "Send the metadata `authorization: Bearer <account key>`, once.",
        Advice::ListAccountKeys => "Account keys are made and listed over REST.",
        Advice::ListBots => "Bots are made and listed over REST.",
        Advice::ListWidgetKeys => "Widget keys are made and listed over REST.",
        Advice::RotateWidgetKey => "TenantAdmin.RotateWidgetKey replaces it.",
        Advice::ListSigningKeys => "Signing keys are listed over REST.",
        Advice::RotateSigningKey => "Signing keys are rotated over REST.",
        Advice::SendAdminKey => "Send the admin service's ADMIN_API_KEY as the metadata x-admin-key.",
        Advice::CheckAdminKey => "The metadata x-admin-key must be the admin service's ADMIN_API_KEY.",
    }
}

/// A refused field with what to do instead.
fn field(RefusedField { field, refusal }: RefusedField) -> FieldError {
    let instead = match refusal.hint {
        None | Some(Hint::LeaveOut) => "",
        Some(Hint::RotateSecret) => "; RotateTenantSecret makes a new one",
        Some(Hint::RotateWidgetKey) => "; RotateWidgetKey makes a new one",
        Some(Hint::SetStatus) => "; use SuspendTenant or ReactivateTenant",
        Some(Hint::ListBots) => ": bots are listed over REST",
        Some(Hint::ReadReference) => "; TenantSettings names the fields",
    };
    FieldError { field, message: refusal.message + instead }
}

/// An error of a use case that refuses fields, with what to do instead of each.
pub(crate) fn refused(error: UseCaseError) -> ApiError {
    match error {
        UseCaseError::Invalid(fields) => ApiError::validation(fields.into_iter().map(field).collect()),
        error => error.into(),
    }
}
