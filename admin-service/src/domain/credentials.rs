//! The texts that prove who calls: how they are made, and which of them may be shown.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What a tenant signs with: `sk_` and 43 base64url characters (32 random bytes). Never in a log or a `Debug`.
#[derive(Clone, Debug)]
pub struct TenantSecret(SecretString);

impl TenantSecret {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(random_text("sk_"))
    }

    /// One that was made earlier; `None` where the text cannot be one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        bytes_of(text).map(|_| Self(text.to_owned().into()))
    }

    /// Its text, to be sealed or to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The 32 bytes that its text spells: what signs `v1` of Standard Webhooks.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        bytes_of(self.expose()).expect("it was made of 32 bytes")
    }

    /// The same bytes as Standard Webhooks' libraries take them, to be shown once: `whsec_` and standard base64.
    #[must_use]
    pub fn to_webhook_secret(&self) -> SecretString {
        format!("whsec_{}", STANDARD.encode(*self.to_bytes())).into()
    }
}

fn bytes_of(tenant_secret: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let length = URL_SAFE_NO_PAD.decode_slice(tenant_secret.strip_prefix("sk_")?, bytes.as_mut()).ok()?;
    (length == bytes.len()).then_some(bytes)
}

/// Which keys are hashed, and found by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `ak_`: what a tenant's developers call the widget surface with.
    Account,
    /// `adk_`: what an operator or an internal service calls the admin surface with.
    Admin,
}

impl KeyKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Account => "ak_",
            Self::Admin => "adk_",
        }
    }
}

/// The text of such a key: its prefix and 43 base64url characters (32 random bytes). Never in a log or a `Debug`.
#[derive(Clone, Debug)]
pub struct KeySecret(SecretString);

impl KeySecret {
    /// A new one.
    #[must_use]
    pub fn generate(kind: KeyKind) -> Self {
        Self(random_text(kind.prefix()))
    }

    /// One that a caller sends; `None` where it cannot be one of this kind.
    #[must_use]
    pub fn read(kind: KeyKind, text: &str) -> Option<Self> {
        is_random_text(kind.prefix(), text).then(|| Self(text.to_owned().into()))
    }

    /// Its text, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it: 32 random bytes need no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }

    /// Its last four characters, to tell it from others.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.expose()[self.expose().len() - 4..]
    }
}

/// A prefix and 43 base64url characters: 32 random bytes.
fn random_text(prefix: &str) -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).expect("the system has randomness");
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*bytes)).into()
}

/// Whether a text has the form of [`random_text`].
fn is_random_text(prefix: &str, text: &str) -> bool {
    let Some(key) = text.strip_prefix(prefix) else { return false };
    key.len() == 43 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A public widget key: `pk_` and 32 base64url characters (24 random bytes).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WidgetKey(String);

impl WidgetKey {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).expect("the system has randomness");
        Self(format!("pk_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether a text could be one.
    #[must_use]
    pub fn is_well_formed(text: &str) -> bool {
        text.strip_prefix("pk_").is_some_and(|key| {
            key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
    }

    /// One that was made earlier, from where it is kept.
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

impl fmt::Display for WidgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WidgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_secret_spells_the_same_bytes() {
        let secret = TenantSecret::read("sk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka-_z9_v8").expect("well formed");
        let text = secret.to_webhook_secret();
        assert_eq!(text.expose_secret(), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka+/z9/v8=");
        assert_eq!(secret.to_bytes()[..4], [0, 1, 2, 3]);
    }

    #[test]
    fn credentials_have_their_documented_form_and_secrets_do_not_print() {
        let secret = TenantSecret::generate();
        assert_eq!((secret.expose().len(), &secret.expose()[..3]), (46, "sk_"));
        assert_ne!(secret.expose(), TenantSecret::generate().expose());
        assert!(!format!("{secret:?}").contains(&secret.expose()[3..]));
        let again = TenantSecret::read(secret.expose()).expect("well formed");
        assert_eq!(again.to_bytes(), secret.to_bytes());
        for wrong in
            ["", "sk_", "sk_short", &secret.expose()[3..], &format!("{}A", secret.expose()), &secret.expose()[..45]]
        {
            assert!(TenantSecret::read(wrong).is_none(), "{wrong:?}");
        }
        for (kind, prefix, other) in
            [(KeyKind::Account, "ak_", KeyKind::Admin), (KeyKind::Admin, "adk_", KeyKind::Account)]
        {
            let key = KeySecret::generate(kind);
            assert!(key.expose().len() == prefix.len() + 43 && key.expose().starts_with(prefix));
            assert!(!format!("{key:?}").contains(key.hint()));
            let read = KeySecret::read(kind, key.expose()).expect("well formed");
            assert_eq!(read.digest(), key.digest());
            assert!(KeySecret::read(other, key.expose()).is_none());
            for wrong in [
                "",
                prefix,
                &format!("{prefix}short"),
                &secret.expose().replace("sk_", "pk_"),
                &format!("{}A", key.expose()),
            ] {
                assert!(KeySecret::read(kind, wrong).is_none(), "{wrong:?}");
            }
        }
        let key = WidgetKey::generate();
        assert_eq!((key.as_str().len(), &key.as_str()[..3]), (35, "pk_"));
        assert_ne!(key, WidgetKey::generate());
        assert!(WidgetKey::is_well_formed(key.as_str()));
        for wrong in
            ["", "pk_", "pk_short", "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "pk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0"]
        {
            assert!(!WidgetKey::is_well_formed(wrong), "{wrong:?}");
        }
    }
}
