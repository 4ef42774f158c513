//! Admin keys: what an operator or an internal service calls the admin surface with, and the scopes that say what each may do. The configured
//! keys (`ADMIN_API_KEY`) are root keys: they may do everything, and only they make and revoke others.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use utoipa::ToSchema;
use uuid::Uuid;
use wire::{FieldError, fields::Fields};

/// Admin keys there may be that are neither revoked nor expired.
pub const MOST_ADMIN_KEYS: usize = 100;

const LONGEST_NAME: usize = 100;

/// One thing that an admin key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(as = AdminKeyScope)]
pub enum Scope {
    /// See tenants.
    #[schema(rename = "tenants:read")]
    TenantsRead,
    /// Provision, update, suspend and reactivate them.
    #[schema(rename = "tenants:write")]
    TenantsWrite,
    /// Rotate tenants' secrets and their own widget keys.
    #[schema(rename = "secrets:rotate")]
    SecretsRotate,
    /// See account keys and signing keys.
    #[schema(rename = "keys:read")]
    KeysRead,
    /// Make and revoke account keys; rotate and retire signing keys.
    #[schema(rename = "keys:write")]
    KeysWrite,
    /// Read the audit log and the access log.
    #[schema(rename = "audit:read")]
    AuditRead,
    /// See events.
    #[schema(rename = "events:read")]
    EventsRead,
    /// Publish, replay and test events, and start endpoints that were stopped.
    #[schema(rename = "events:write")]
    EventsWrite,
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a scope: there are tenants:read, tenants:write, secrets:rotate, keys:read, keys:write, audit:read, events:read and events:write"
)]
pub struct UnknownScope;

impl Scope {
    /// All of them.
    pub const EVERY: [Self; 8] = [
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::SecretsRotate,
        Self::KeysRead,
        Self::KeysWrite,
        Self::AuditRead,
        Self::EventsRead,
        Self::EventsWrite,
    ];

    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantsRead => "tenants:read",
            Self::TenantsWrite => "tenants:write",
            Self::SecretsRotate => "secrets:rotate",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::AuditRead => "audit:read",
            Self::EventsRead => "events:read",
            Self::EventsWrite => "events:write",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::EVERY.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a call of the admin surface needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Any admin key.
    AnyKey,
    /// A root key, or one with this scope.
    Scope(Scope),
    /// A root key.
    Root,
}

/// An admin key, without its text: that is hashed, and shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminKey {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
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

impl AdminKey {
    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether it may make a call that needs this.
    #[must_use]
    pub fn allows(&self, needed: Needed) -> bool {
        match needed {
            Needed::AnyKey => true,
            Needed::Scope(scope) => self.scopes.contains(&scope),
            Needed::Root => false,
        }
    }
}

/// What a new admin key may do, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewAdminKey {
    /// What people call it. 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it may do. No scope stands for another.
    #[schema(min_items = 1, example = json!(["tenants:read", "audit:read"]))]
    pub scopes: Vec<Scope>,
    /// When it ends; absent, never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl NewAdminKey {
    /// Reads it.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn read(mut fields: Fields, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let name = fields.text("name", LONGEST_NAME);
        let mut scopes = Vec::new();
        match fields.optional_texts("scopes", 20, 50) {
            None => {}
            Some(texts) if texts.is_empty() => fields.refuse("scopes", "must not be empty: the key could do nothing"),
            Some(texts) => {
                for (index, text) in texts.into_iter().enumerate() {
                    match text.parse::<Scope>() {
                        Ok(scope) if scopes.contains(&scope) => {}
                        Ok(scope) => scopes.push(scope),
                        // Not echoed: a key that was pasted into the wrong place must not come back.
                        Err(error) => fields.require("scopes", format!("entry {} {error}", index + 1)),
                    }
                }
            }
        }
        if scopes.is_empty() {
            fields.require("scopes", "is required: a list such as [\"tenants:read\"]");
        }
        let expires_at = fields.optional_time("expires_at");
        if expires_at.is_some_and(|at| at <= now) {
            fields.refuse("expires_at", "must lie in the future");
        }
        fields.refuse_others();
        fields.finish().map_err(|refused| refused.0)?;
        Ok(Self { name, scopes, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::{
        PartialSchema as _,
        openapi::{RefOr, Schema},
    };

    use super::*;

    fn read(value: serde_json::Value) -> Result<NewAdminKey, Vec<String>> {
        let serde_json::Value::Object(object) = value else { panic!("an object") };
        NewAdminKey::read(Fields::new(object), "2026-01-01T00:00:00Z".parse().expect("a time"))
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn a_new_key_needs_a_name_and_scopes_that_there_are() {
        let given = json!({"name": "CI", "scopes": ["audit:read", "tenants:read", "audit:read"], "expires_at": "2026-01-01T00:00:01Z"});
        let key = read(given).expect("taken");
        assert_eq!(key.scopes, [Scope::AuditRead, Scope::TenantsRead]);
        for (refused, fields) in [
            (json!({}), vec!["name", "scopes"]),
            (json!({"name": "n", "scopes": []}), vec!["scopes"]),
            (json!({"name": "n", "scopes": ["*"]}), vec!["scopes"]),
            (json!({"name": "n", "scopes": ["tenants:delete"]}), vec!["scopes"]),
            (json!({"name": "n", "scopes": "audit:read"}), vec!["scopes"]),
            (json!({"name": "n", "scopes": ["audit:read"], "expires_at": "2026-01-01T00:00:00Z"}), vec!["expires_at"]),
            (json!({"name": "n", "scopes": ["audit:read"], "tenant_id": "x"}), vec!["tenant_id"]),
        ] {
            assert_eq!(read(refused.clone()), Err(fields.into_iter().map(str::to_owned).collect()), "{refused}");
        }
        let RefOr::T(Schema::Object(documented)) = Scope::schema() else { panic!("an enum") };
        let documented = documented.enum_values.expect("its values");
        assert_eq!(documented, Scope::EVERY.map(|scope| json!(scope.as_str())));
        for scope in Scope::EVERY {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert!(UnknownScope.to_string().contains(scope.as_str()), "{scope}");
        }
    }

    #[test]
    fn no_scope_stands_for_a_root_key_or_for_another_scope() {
        let key = AdminKey {
            id: Uuid::nil(),
            name: "n".to_owned(),
            scopes: vec![Scope::TenantsWrite],
            hint: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        assert!(key.allows(Needed::AnyKey) && key.allows(Needed::Scope(Scope::TenantsWrite)));
        assert!(!key.allows(Needed::Scope(Scope::TenantsRead)) && !key.allows(Needed::Root));
    }
}
