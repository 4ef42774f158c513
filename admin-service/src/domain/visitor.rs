//! A visitor's session: what a widget begins, bound to a tenant, a widget key and a page's origin.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use shared::{SessionId, TenantId, origin::Origin};
use uuid::Uuid;

use super::{
    credentials::WidgetKey,
    tenant::Tenant,
    widget::{BotKey, Look},
};

/// How long a session lives, from its beginning.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Who answers a visitor first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The bot, until it hands over.
    Bot,
    /// A person.
    Human,
}

impl Mode {
    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Human => "human",
        }
    }

    /// The mode with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Bot, Self::Human].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// A visitor's session.
#[derive(Clone, Debug, PartialEq)]
pub struct VisitorSession {
    /// Its id.
    pub id: SessionId,
    /// Whose visitor it is.
    pub tenant_id: TenantId,
    /// Who answers it.
    pub bot_id: Uuid,
    /// The key it was begun with, by its text: one that is rotated ends it.
    pub widget_key: WidgetKey,
    /// The page's.
    pub origin: Origin,
    /// The visitor's language.
    pub locale: String,
    /// Who answers first.
    pub mode: Mode,
    /// Who among the people should.
    pub routing_key: Option<String>,
    /// What the page says of itself and its visitor.
    pub metadata: Map<String, Value>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
}

/// What a widget key opens: its tenant, and, where the tenant has such a key that is not revoked, the key and its bot's look.
#[derive(Clone, Debug, PartialEq)]
pub struct WidgetDoor {
    /// The tenant.
    pub tenant: Tenant,
    /// The key and its bot's look.
    pub opened: Option<(BotKey, Look)>,
}
