//! Account keys: what a tenant's developers call the widget surface with, and what each of them may do.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::fields::Fields;
use wire::{FieldError, TenantId};

/// Keys a tenant may have that are not revoked.
pub const MOST_ACCOUNT_KEYS: usize = 100;

const LONGEST_NAME: usize = 100;

/// One thing a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// See bots, widget keys, look and embed code.
    WidgetsRead,
    /// Make and change them.
    WidgetsWrite,
    /// Whatever concerns widgets.
    WidgetsAll,
    /// See bots.
    BotsRead,
    /// Make them.
    BotsWrite,
    /// Whatever concerns bots.
    BotsAll,
    /// Whatever there is.
    All,
}

/// The text is no ability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an ability: there are widgets:read, widgets:write, widgets:*, bots:read, bots:write, bots:* and *")]
pub struct UnknownAbility;

impl Ability {
    const EVERY: [Self; 7] = [
        Self::WidgetsRead,
        Self::WidgetsWrite,
        Self::WidgetsAll,
        Self::BotsRead,
        Self::BotsWrite,
        Self::BotsAll,
        Self::All,
    ];

    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WidgetsRead => "widgets:read",
            Self::WidgetsWrite => "widgets:write",
            Self::WidgetsAll => "widgets:*",
            Self::BotsRead => "bots:read",
            Self::BotsWrite => "bots:write",
            Self::BotsAll => "bots:*",
            Self::All => "*",
        }
    }

    /// Whether a key with this ability may do what `needed` names. Writing is not reading: a key that only writes sees nothing.
    #[must_use]
    pub fn allows(self, needed: Self) -> bool {
        match self {
            Self::All => true,
            Self::WidgetsAll => matches!(needed, Self::WidgetsRead | Self::WidgetsWrite | Self::WidgetsAll),
            Self::BotsAll => matches!(needed, Self::BotsRead | Self::BotsWrite | Self::BotsAll),
            Self::WidgetsRead | Self::WidgetsWrite | Self::BotsRead | Self::BotsWrite => self == needed,
        }
    }
}

impl FromStr for Ability {
    type Err = UnknownAbility;

    fn from_str(text: &str) -> Result<Self, UnknownAbility> {
        Self::EVERY.into_iter().find(|ability| ability.as_str() == text).ok_or(UnknownAbility)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An account key, without its text: that is hashed, and shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub abilities: Vec<Ability>,
    /// The end of its text, to tell it from others.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl AccountKey {
    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it may do what `needed` names.
    #[must_use]
    pub fn allows(&self, needed: Ability) -> bool {
        self.abilities.iter().any(|ability| ability.allows(needed))
    }
}

/// What a new account key may do, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewAccountKey {
    /// What people call it. 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// Some of `widgets:read`, `widgets:write`, `widgets:*`, `bots:read`, `bots:write`, `bots:*` and `*`.
    #[schema(value_type = Vec<String>, min_items = 1, example = json!(["widgets:read", "widgets:write"]))]
    pub abilities: Vec<Ability>,
    /// When it ends; absent, never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl NewAccountKey {
    /// Reads it.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn read(mut fields: Fields, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let name = fields.text("name", LONGEST_NAME);
        let mut abilities = Vec::new();
        match fields.optional_texts("abilities", 10, 50) {
            None => {}
            Some(texts) if texts.is_empty() => fields.refuse("abilities", "must not be empty: it could do nothing"),
            Some(texts) => {
                for (index, text) in texts.into_iter().enumerate() {
                    match text.parse::<Ability>() {
                        Ok(ability) if abilities.contains(&ability) => {}
                        Ok(ability) => abilities.push(ability),
                        // Not echoed: a key that was pasted into the wrong place must not come back.
                        Err(error) => fields.require("abilities", format!("entry {} {error}", index + 1)),
                    }
                }
            }
        }
        if abilities.is_empty() {
            fields.require("abilities", "is required: a list such as [\"widgets:read\"]");
        }
        let expires_at = fields.optional_time("expires_at");
        if expires_at.is_some_and(|at| at <= now) {
            fields.refuse("expires_at", "must lie in the future");
        }
        fields.refuse_others();
        fields.finish().map_err(|refused| refused.0)?;
        Ok(Self { name, abilities, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ability_allows_itself_and_what_it_covers() {
        use Ability as A;
        for (has, needed, allowed) in [
            (A::WidgetsRead, A::WidgetsRead, true),
            (A::WidgetsRead, A::WidgetsWrite, false),
            (A::BotsAll, A::BotsWrite, true),
            (A::BotsRead, A::BotsWrite, false),
            (A::BotsAll, A::WidgetsRead, false),
            (A::WidgetsAll, A::BotsRead, false),
            (A::All, A::BotsWrite, true),
            (A::WidgetsWrite, A::WidgetsRead, false),
            (A::WidgetsAll, A::WidgetsWrite, true),
            (A::WidgetsAll, A::All, false),
            (A::All, A::WidgetsRead, true),
        ] {
            assert_eq!(has.allows(needed), allowed, "{has} {needed}");
        }
        for ability in A::EVERY {
            assert_eq!(ability.as_str().parse(), Ok(ability));
        }
        assert_eq!("widgets:delete".parse::<A>(), Err(UnknownAbility));
    }

    fn read(value: serde_json::Value) -> Result<NewAccountKey, Vec<String>> {
        let serde_json::Value::Object(object) = value else { panic!("an object") };
        NewAccountKey::read(Fields::new(object), "2026-01-01T00:00:00Z".parse().expect("a time"))
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn a_new_key_needs_a_name_and_something_it_may_do() {
        let key =
            read(json!({"name": "CI", "abilities": ["*", "widgets:read", "*"], "expires_at": "2026-01-01T00:00:01Z"}));
        let key = key.expect("taken");
        assert_eq!(
            (key.abilities.as_slice(), key.expires_at.is_some()),
            ([Ability::All, Ability::WidgetsRead].as_slice(), true)
        );
        for (refused, fields) in [
            (json!({}), vec!["name", "abilities"]),
            (json!({"name": "n", "abilities": []}), vec!["abilities"]),
            (json!({"name": "n", "abilities": ["widgets:delete"]}), vec!["abilities"]),
            (json!({"name": "n", "abilities": "*"}), vec!["abilities"]),
            (json!({"name": " ", "abilities": ["*"], "expires_at": "tomorrow"}), vec!["name", "expires_at"]),
            (json!({"name": "n", "abilities": ["*"], "expires_at": "2026-01-01T00:00:00Z"}), vec!["expires_at"]),
            (json!({"name": "n", "abilities": ["*"], "expiresAt": "2027-01-01T00:00:00Z"}), vec!["expiresAt"]),
        ] {
            assert_eq!(read(refused.clone()), Err(fields.into_iter().map(str::to_owned).collect()), "{refused}");
        }
    }
}
