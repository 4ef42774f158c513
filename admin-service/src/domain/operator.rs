//! Operators: a tenant's own people, who answer its visitors. They have no password; their tenant vouches for them.

use jiff::Timestamp;
use uuid::Uuid;
use wire::{FieldError, TenantId};

use super::value;

/// An email address, lower-cased: the key under which a tenant knows an operator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Email(String);

impl Email {
    /// Reads an address: one `@`, something without spaces on either side, at most 254 characters (RFC 5321).
    ///
    /// # Errors
    /// What is wrong, for the field `email`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let address = text.trim();
        let well_formed = address.len() <= 254
            && !address.contains(|c: char| c.is_whitespace() || c.is_control())
            && address
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if well_formed {
            Ok(Self(address.to_lowercase()))
        } else {
            Err(FieldError { field: "email".into(), message: "must be an email address".into() })
        }
    }

    /// One that was checked earlier, from where it is kept.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An operator of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// Its id, in this tenant only.
    pub id: Uuid,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its address.
    pub email: Email,
    /// The name visitors see.
    pub display_name: String,
    /// The queues it answers; none means all.
    pub routing_keys: Vec<String>,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// When it was provisioned.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub updated_at: Timestamp,
    /// The version of its membership. Tokens that name an earlier one are over.
    pub version: u64,
    /// When its membership was revoked. `None`: it is active.
    pub revoked_at: Option<Timestamp>,
}

/// How callers name an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorName {
    /// By its address.
    Email(Email),
    /// By its id.
    Id(Uuid),
}

impl Operator {
    /// Whether what gateways cache of the operator is the same as in `before`. If not, they must hear of the change.
    #[must_use]
    pub fn is_known_as(&self, before: &Self) -> bool {
        self.version == before.version
            && self.revoked_at == before.revoked_at
            && self.display_name == before.display_name
            && self.avatar_url == before.avatar_url
    }
}

/// What a tenant says of an operator.
#[derive(Clone, Debug)]
pub struct OperatorProfile {
    /// Its address.
    pub email: Email,
    /// The name visitors see. 1 to 200 characters.
    pub display_name: String,
    /// The queues it answers; `None` leaves an existing operator's.
    pub routing_keys: Option<Vec<String>>,
    /// Its picture; `None` leaves an existing operator's.
    pub avatar_url: Option<String>,
}

impl OperatorProfile {
    /// The operator after this profile is applied: a new one, or `existing` changed. The membership gets its next version, which ends
    /// older tokens, if the routing keys change or a revoked operator is restored.
    #[must_use]
    pub fn applied_to(&self, existing: Option<&Operator>, tenant_id: TenantId, now: Timestamp) -> Operator {
        let Self { email, display_name, routing_keys, avatar_url } = self.clone();
        let Some(before) = existing else {
            return Operator {
                id: Uuid::now_v7(),
                tenant_id,
                email,
                display_name,
                routing_keys: routing_keys.unwrap_or_default(),
                avatar_url,
                created_at: now,
                updated_at: now,
                version: 0,
                revoked_at: None,
            };
        };
        let routing_keys = routing_keys.unwrap_or_else(|| before.routing_keys.clone());
        let is_another = before.revoked_at.is_some() || routing_keys != before.routing_keys;
        Operator {
            display_name,
            avatar_url: avatar_url.or_else(|| before.avatar_url.clone()),
            version: before.version + u64::from(is_another),
            routing_keys,
            updated_at: now,
            revoked_at: None,
            ..before.clone()
        }
    }

    /// Checks what a tenant sent.
    ///
    /// # Errors
    /// Every field that is refused.
    pub fn check(
        email: &str,
        display_name: String,
        routing_keys: Option<Vec<String>>,
        avatar_url: Option<String>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, message: &str| {
            errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        };
        if !is_text(&display_name, 200) {
            refuse("display_name", "must be 1 to 200 characters without control characters");
        }
        if let Some(keys) = &routing_keys
            && (keys.len() > 100 || !keys.iter().all(|key| is_text(key, 100)))
        {
            refuse("routing_keys", "must be at most 100 texts of 1 to 100 characters");
        }
        let avatar_url = match avatar_url.as_deref().map(value::https_url_text).transpose() {
            Ok(url) => url,
            Err(message) => {
                refuse("avatar_url", &message);
                None
            }
        };
        match Email::parse(email) {
            Ok(email) if errors.is_empty() => Ok(Self { email, display_name, routing_keys, avatar_url }),
            Ok(_) => Err(errors),
            Err(error) => {
                errors.insert(0, error);
                Err(errors)
            }
        }
    }
}

fn is_text(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_address() {
        assert_eq!(Email::parse(" Merchant@Acme.com "), Email::parse("merchant@acme.com"));
        for wrong in ["", "@", "a@", "@b", "a@b@c", "a b@c.d", "a@b\u{0}", &format!("{}@b.c", "a".repeat(254))] {
            assert!(Email::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_refused_field_is_named_at_once() {
        let errors = OperatorProfile::check("x", " ".into(), Some(vec![String::new()]), Some("http://a".into()))
            .expect_err("refused");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["email", "display_name", "routing_keys", "avatar_url"]);
    }

    /// A page loads an operator's picture as it loads the widget's, so one rule checks both URLs.
    #[test]
    fn a_picture_is_an_https_url_as_the_widgets_is() {
        let avatar = |url: &str| {
            let checked = OperatorProfile::check("a@b.c", "Ada".into(), None, Some(url.into()));
            checked.map(|profile| profile.avatar_url).map_err(|mut errors| errors.remove(0).field)
        };
        for url in ["https://cdn.example.com/a.png", "https://cdn.example.com:8443/a%20b.png?size=64#x"] {
            assert_eq!(avatar(url), Ok(Some(url.to_owned())));
        }
        let long = format!("https://a.example/{}", "x".repeat(2048));
        for wrong in [
            "",
            " ",
            "http://a.example/x.png",
            "javascript:alert(1)",
            "data:image/png;base64,AA==",
            "//a.example/x.png",
            "https://",
            "https:///",
            "https://user@a.example/x.png",
            "https://user:pw@a.example/x.png",
            "https://:pw@a.example/",
            "https://a.example/\u{0}",
            "https://a.exa\nmple/x.png",
            &long,
        ] {
            assert_eq!(avatar(wrong), Err("avatar_url".to_owned()), "{wrong:?}");
        }
    }
}
