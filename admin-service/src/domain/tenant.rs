//! A tenant as the admin service knows it, without its secret.

use std::fmt;

use jiff::Timestamp;
use wire::TenantId;

use super::{credentials::WidgetKey, settings::TenantSettings};

/// Whether a tenant's calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// They are.
    Active,
    /// They are refused with 403 until it is reactivated.
    Suspended,
}

impl TenantStatus {
    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// The status with this text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The secret before a rotation with overlap: it is accepted beside the current one, until its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// When the rotation took place.
    pub rotated_at: Timestamp,
    /// Its end.
    pub expires_at: Timestamp,
    /// When a call was last signed with it, as far as gateways have told. They tell within seconds.
    pub last_used_at: Option<Timestamp>,
    /// The name of the gateway that took that call.
    pub last_used_by: Option<String>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Whether its calls are taken.
    pub status: TenantStatus,
    /// Its public widget key.
    pub widget_public_key: WidgetKey,
    /// What an operator may set.
    pub settings: TenantSettings,
    /// When it was provisioned.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When its secret was last rotated.
    pub secret_rotated_at: Option<Timestamp>,
    /// When its widget key was last rotated.
    pub widget_key_rotated_at: Option<Timestamp>,
    /// Tokens of its visitors and operators that were issued under an earlier generation are over.
    pub token_generation: u64,
    /// How often its visitors were revoked. A minted token is of the generation that this was when it was issued.
    pub visitor_revocations: u64,
    /// The directory's revision at which a session of its visitors was last ended; 0 where none was.
    pub sessions_ended: u64,
    /// The directory's revision at which a membership of its operators last changed; 0 where none did.
    pub operators_changed: u64,
    /// When its endpoint was stopped, after it had failed for days or had said that it is gone. `None` where it is not stopped.
    pub endpoint_stopped_at: Option<Timestamp>,
    /// The secret before the last rotation, if the rotation had an overlap. It may have ended: ask [`Tenant::previous_secret_at`].
    pub previous_secret: Option<PreviousSecret>,
    /// The directory's revision of its last change.
    pub revision: u64,
}

/// Whether a tenant's events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// They are.
    Active,
    /// It failed for days, or said that it is gone: events are held until it is started.
    Stopped,
    /// The tenant has no `callback_url_base`.
    None,
}

impl EndpointState {
    /// Its text, on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::None => "none",
        }
    }
}

impl Tenant {
    /// The secret before the last rotation, where it is still accepted.
    #[must_use]
    pub fn previous_secret_at(&self, now: Timestamp) -> Option<&PreviousSecret> {
        self.previous_secret.as_ref().filter(|previous| now < previous.expires_at)
    }

    /// Whether its events are sent.
    #[must_use]
    pub fn endpoint_state(&self) -> EndpointState {
        match (&self.settings.callback_url_base, self.endpoint_stopped_at) {
            (None, _) => EndpointState::None,
            (Some(_), Some(_)) => EndpointState::Stopped,
            (Some(_), None) => EndpointState::Active,
        }
    }
}
