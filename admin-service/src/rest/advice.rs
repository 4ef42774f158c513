//! Advice in the words of REST: paths and headers.

use crate::{advice::Advice, domain::refusal::Hint};

/// What a REST caller reads after an error's message.
pub(crate) const fn text(advice: Advice) -> &'static str {
    match advice {
        Advice::ListTenants => "GET /api/v1/fetch/tenants lists them.",
        Advice::SendAccountKey => "Send `Authorization: Bearer <account key>`, once.",
        Advice::ListAccountKeys => "GET /api/v1/fetch/account-keys lists them.",
        Advice::ListAdminKeys => "GET /api/v1/fetch/admin-keys lists them.",
        Advice::ListBots => "GET /api/v1/bots lists them.",
        Advice::ListWidgetKeys => "GET /api/v1/widgets/keys?bot_id= lists a bot's.",
        Advice::RotateWidgetKey => "An operator replaces it by POST /api/v1/rotate/widget-key.",
        Advice::ListSigningKeys => "GET /api/v1/fetch/signing-keys lists them.",
        Advice::RotateSigningKey => {
            "POST /api/v1/rotate/signing-key?signs_after_seconds=0 makes one that signs at once; then retire this one."
        }
        Advice::ListEvents => "GET /api/v1/fetch/events lists them.",
        Advice::SetCallback => "An operator sets it by POST /api/v1/update/tenant.",
        Advice::SendAdminKey => {
            "Send one in the header X-Admin-Key: the admin service's ADMIN_API_KEY, or a key that was made with it."
        }
        Advice::CheckAdminKey => {
            "X-Admin-Key must be the admin service's ADMIN_API_KEY, or a key that was made with it and is neither revoked nor expired."
        }
    }
}

/// What to do instead of writing a refused field so; follows the field's message.
pub(crate) const fn instead(hint: Hint) -> &'static str {
    match hint {
        Hint::LeaveOut => "",
        Hint::RotateSecret => "; POST /api/v1/rotate/tenant-secret makes a new one",
        Hint::RotateWidgetKey => "; POST /api/v1/rotate/widget-key makes a new one",
        Hint::SetStatus => "; use POST /api/v1/suspend/tenant or /api/v1/reactivate/tenant",
        Hint::ListBots => ": GET /api/v1/bots lists them",
        Hint::ReadReference => "; the API reference is at /docs",
    }
}
