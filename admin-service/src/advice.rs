//! What a refused caller can do next, as one closed enum. Each edge has its own words for each advice.

/// What a refused caller can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// List the tenants.
    ListTenants,
    /// Send an account key, once.
    SendAccountKey,
    /// List the tenant's account keys.
    ListAccountKeys,
    /// List the admin keys.
    ListAdminKeys,
    /// List the tenant's bots.
    ListBots,
    /// List a bot's widget keys.
    ListWidgetKeys,
    /// Rotate the tenant's own widget key.
    RotateWidgetKey,
    /// List the signing keys.
    ListSigningKeys,
    /// Make a signing key that signs at once.
    RotateSigningKey,
    /// List the tenant's events.
    ListEvents,
    /// Set the tenant's `callback_url_base`.
    SetCallback,
    /// Send an admin key.
    SendAdminKey,
    /// Send the right admin key.
    CheckAdminKey,
}
