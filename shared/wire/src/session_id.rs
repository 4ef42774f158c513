//! A visitor's session, as every surface names it: `vs_` and 32 hexadecimal digits of a UUID.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// A visitor's session. It is no secret: what opens it is a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

/// A text that names no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be vs_ and 32 hexadecimal digits")]
pub struct InvalidSessionId;

const PREFIX: &str = "vs_";

impl SessionId {
    /// A new one. They sort by the time they were made.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The UUID in it.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for SessionId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 32).ok_or(InvalidSessionId)?;
        Uuid::try_parse(digits).map(Self).map_err(|_| InvalidSessionId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.simple())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_back_and_nothing_else_is() {
        let id = SessionId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        let plain = id.as_uuid().to_string();
        for wrong in ["", "vs_", "vs_0", &plain, &format!("vs_{plain}"), &format!("VS_{}", id.as_uuid().simple())] {
            assert_eq!(wrong.parse::<SessionId>(), Err(InvalidSessionId), "{wrong:?}");
        }
    }
}
