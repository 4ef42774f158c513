//! A tenant's bots: what widgets belong to. Each tenant has one from the start.

use jiff::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::fields::Fields;
use wire::{FieldError, TenantId};

/// Bots a tenant may have.
pub const MOST_BOTS: usize = 100;

/// What the bot is called that a tenant has from the start.
pub const DEFAULT_BOT_NAME: &str = "Default";

const LONGEST_NAME: usize = 100;

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

/// What a new bot is called.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewBot {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
}

impl NewBot {
    /// Reads it.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn read(mut fields: Fields) -> Result<Self, Vec<FieldError>> {
        let name = fields.text("name", LONGEST_NAME);
        fields.refuse_others();
        fields.finish().map_err(|refused| refused.0)?;
        Ok(Self { name })
    }
}
