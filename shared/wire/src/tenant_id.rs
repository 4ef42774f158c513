//! The id of a tenant. Knows its text form and nothing else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A tenant's id: a UUID (version 7 where this system made it), written hyphenated and lower-case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

/// The text is not a hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID such as 019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f")]
pub struct InvalidTenantId;

impl TenantId {
    /// A new id. Ids made by one process sort by the time they were made.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// In the place of a tenant's id: what concerns the whole deployment, such as a signing key. No tenant has it.
    pub const DEPLOYMENT: Self = Self(Uuid::nil());

    /// The id that this UUID is.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The id as a UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The id's 16 bytes, big-endian.
    ///
    /// # Errors
    /// [`InvalidTenantId`] where `bytes` is not 16 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidTenantId> {
        Uuid::from_slice(bytes).map(Self).map_err(|_| InvalidTenantId)
    }
}

impl From<Uuid> for TenantId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenantId;

    /// Takes the hyphenated form only: one tenant has one spelling, up to case.
    fn from_str(text: &str) -> Result<Self, InvalidTenantId> {
        if text.len() != 36 {
            return Err(InvalidTenantId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidTenantId)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_taken() {
        let id = TenantId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for wrong in [
            id.as_uuid().simple().to_string(),
            id.as_uuid().urn().to_string(),
            id.as_uuid().braced().to_string(),
            format!("{id} "),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<TenantId>(), Err(InvalidTenantId), "{wrong:?}");
        }
    }
}
