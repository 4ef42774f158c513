//! What a tenant's widget key allows: the pages that may use it, and what their widget draws itself from.

use std::num::NonZeroU32;

use serde_json::{Map, Value};
use uuid::Uuid;
use wire::origin::{Origin, OriginPolicy};

use super::tenant::TenantState;

/// What one widget key of a tenant allows.
#[derive(Debug)]
pub(crate) struct WidgetAccess {
    /// For an unknown key, what the tenant allows: it decides whether the page may read the refusal.
    pub(crate) policy: OriginPolicy,
    /// `None` where the tenant has no such key, or not any more.
    pub(crate) widget: Option<Widget>,
}

/// What a widget key opens.
#[derive(Debug)]
pub(crate) struct Widget {
    pub(crate) key_id: Uuid,
    pub(crate) sessions_per_hour: NonZeroU32,
    /// `bot_id`, `customization`, `branding` and what else a widget draws itself from: a JSON object, as text, for many are kept
    /// and few are read.
    pub(crate) config: Box<str>,
}

/// Why a widget key opens nothing, whatever page uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessDenied {
    /// The tenant has no such key, or it was rotated or revoked.
    Key,
    Suspended,
}

impl WidgetAccess {
    /// Whether pages of this origin are let in.
    pub(crate) fn allows(&self, origin: &Origin) -> bool {
        self.policy.allows(origin)
    }

    /// What the key opens, unless it is unknown or its tenant is suspended.
    pub(crate) fn open(&self, tenant: &TenantState) -> Result<&Widget, AccessDenied> {
        let widget = self.widget.as_ref().ok_or(AccessDenied::Key)?;
        if tenant.suspended { Err(AccessDenied::Suspended) } else { Ok(widget) }
    }
}

impl Widget {
    /// What a widget draws itself from.
    pub(crate) fn config(&self) -> Map<String, Value> {
        serde_json::from_str(&self.config).unwrap_or_default()
    }
}

/// Whether a text could be a widget key. The gateway does not ask the admin service about a text that could not.
pub(crate) fn is_key(text: &str) -> bool {
    text.strip_prefix("pk_").is_some_and(|key| {
        key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    })
}
