//! Advice in the words of gRPC: methods and metadata.

use crate::{advice::Advice, domain::refusal::Hint};

/// What a gRPC caller reads after an error's message.
pub(crate) const fn text(advice: Advice) -> &'static str {
    match advice {
        Advice::ListTenants => "TenantAdmin.ListTenants lists them.",
        Advice::SendAccountKey => "Send the metadata `authorization: Bearer <account key>`, once.",
        Advice::ListAccountKeys => "Account keys are made and listed over REST.",
        Advice::ListAdminKeys => "Admin keys are made and listed over REST.",
        Advice::ListBots => "Bots are made and listed over REST.",
        Advice::ListWidgetKeys => "Widget keys are made and listed over REST.",
        Advice::RotateWidgetKey => "TenantAdmin.RotateWidgetKey replaces it.",
        Advice::ListSigningKeys => "Signing keys are listed over REST.",
        Advice::RotateSigningKey => "Signing keys are rotated over REST.",
        Advice::ListEvents => "TenantEvents.ListEvents lists them.",
        Advice::SetCallback => "TenantAdmin.UpdateTenant sets it.",
        Advice::SendAdminKey => {
            "Send one as the metadata x-admin-key: the admin service's ADMIN_API_KEY, or a key that was made with it."
        }
        Advice::CheckAdminKey => {
            "The metadata x-admin-key must be the admin service's ADMIN_API_KEY, or a key that was made with it and is neither revoked \
             nor expired."
        }
    }
}

/// What to do instead of writing a refused field so; follows the field's message.
pub(crate) const fn instead(hint: Hint) -> &'static str {
    match hint {
        Hint::LeaveOut => "",
        Hint::RotateSecret => "; RotateTenantSecret makes a new one",
        Hint::RotateWidgetKey => "; RotateWidgetKey makes a new one",
        Hint::SetStatus => "; use SuspendTenant or ReactivateTenant",
        Hint::ListBots => ": bots are listed over REST",
        Hint::ReadReference => "; TenantSettings names the fields",
    }
}
