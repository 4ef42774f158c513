//! What an operator's token rests on, and whether it still opens anything. PROTOCOL.md, section 8.

use super::{tenant::TenantState, token::OperatorToken};

/// An operator's membership in its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Tokens that name another version are over.
    pub(crate) version: u64,
    pub(crate) is_revoked: bool,
    pub(crate) email: String,
    /// The name visitors see.
    pub(crate) display_name: String,
    pub(crate) avatar_url: Option<String>,
    /// The queues the operator sees; none: all of the tenant.
    pub(crate) routing_keys: Vec<String>,
}

/// Why an operator's token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenOver {
    Suspended,
    /// The membership is another than the token names, or is revoked, or the tenant has ended all its tokens.
    Superseded,
}

/// Whether what is known of the tenant lets its operators' tokens of this generation in.
pub(crate) fn check_tenant(token: &OperatorToken, tenant: &TenantState) -> Result<(), TokenOver> {
    if tenant.suspended {
        return Err(TokenOver::Suspended);
    }
    if token.tenant_generation < tenant.token_generation { Err(TokenOver::Superseded) } else { Ok(()) }
}

/// Whether the token names the membership as it is.
pub(crate) fn check_membership(token: &OperatorToken, membership: &Membership) -> Result<(), TokenOver> {
    let is_over = membership.is_revoked || token.membership_version != membership.version;
    if is_over { Err(TokenOver::Superseded) } else { Ok(()) }
}
