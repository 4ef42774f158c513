//! A tenant's bots: what widgets belong to. Each tenant has one from the start.

use jiff::Timestamp;
use uuid::Uuid;
use wire::TenantId;

/// Bots a tenant may have.
pub const MOST_BOTS: usize = 100;

/// What the bot is called that a tenant has from the start.
pub const DEFAULT_BOT_NAME: &str = "Default";

/// A bot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// Whether it is the one the tenant has from the start.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
