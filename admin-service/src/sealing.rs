//! Secrets at rest: XChaCha20-Poly1305 under a master key with an id.
//!
//! A sealed value is `1 | length of key id | key id | nonce (24) | ciphertext and tag`. What it belongs to (an id and
//! a column) is associated data, so a value moved to another row or column does not open.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;
const KEY_LEN: usize = 32;
const LONGEST_KEY_ID: usize = 64;

/// The master keys: the first seals, all open.
#[derive(Clone)]
pub struct MasterKeys(Arc<[MasterKey]>);

struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
    /// Derived from it: what the rows of logs are chained with.
    log_key: Hmac<Sha256>,
}

/// What a key for logs is derived with, so that it is no other key's.
const LOG_KEY_INFO: &[u8] = b"chat-relay: log chain, 1";

/// Why a list of master keys is refused. It never quotes a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMasterKeys {
    /// An entry is not `id:base64`.
    #[error("entry {0} must be id:base64, such as k1:… with 32 bytes from `openssl rand -base64 32`")]
    Form(usize),
    /// An id holds something other than letters, digits, `-` and `_`, or is too long.
    #[error("entry {0} has an id that is not 1 to 64 letters, digits, hyphens and underscores")]
    Id(usize),
    /// Not 32 bytes.
    #[error("entry {0} does not hold exactly 32 bytes of base64")]
    Length(usize),
    /// The key that seals is no random one. Behind another it may still open what it sealed.
    #[error(
        "entry 1 is easily guessed: it is one pattern, not random bytes; put a new one first, with 32 bytes from \
         `openssl rand -base64 32`, and keep this one behind it for what it sealed"
    )]
    Weak,
    /// Two keys under one id.
    #[error("entry {0} repeats an earlier id")]
    Repeated(usize),
}

impl FromStr for MasterKeys {
    type Err = InvalidMasterKeys;

    fn from_str(text: &str) -> Result<Self, InvalidMasterKeys> {
        let mut keys: Vec<MasterKey> = Vec::new();
        // In a file, keys may stand a line each.
        for (index, entry) in text.trim().split([',', '\n']).enumerate() {
            let context = index + 1;
            let (id, key) = entry.trim().split_once(':').ok_or(InvalidMasterKeys::Form(context))?;
            let well_formed = (1..=LONGEST_KEY_ID).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !well_formed {
                return Err(InvalidMasterKeys::Id(context));
            }
            if keys.iter().any(|known| known.id == id) {
                return Err(InvalidMasterKeys::Repeated(context));
            }
            let key = Zeroizing::new(STANDARD.decode(key).map_err(|_| InvalidMasterKeys::Length(context))?);
            if key.len() != KEY_LEN {
                return Err(InvalidMasterKeys::Length(context));
            }
            if index == 0 && is_pattern(&key) {
                return Err(InvalidMasterKeys::Weak);
            }
            let cipher = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| InvalidMasterKeys::Length(context))?;
            let derived = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
            let derived = Zeroizing::new(<[u8; 32]>::from(derived.chain_update(LOG_KEY_INFO).finalize().into_bytes()));
            let log_key = Hmac::new_from_slice(derived.as_slice()).expect("HMAC takes a key of any length");
            keys.push(MasterKey { id: id.to_owned(), cipher, log_key });
        }
        Ok(Self(keys.into()))
    }
}

/// Whether the bytes have few values, of which 32 random ones have some 30, or are steps of one length.
fn is_pattern(key: &[u8]) -> bool {
    let mut values = key.to_vec();
    values.sort_unstable();
    values.dedup();
    let step = |pair: &[u8]| pair[1].wrapping_sub(pair[0]);
    values.len() < 10 || key.windows(2).all(|pair| step(pair) == step(key))
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// What a sealed value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct SealContext {
    /// The row's id.
    pub row: Uuid,
    /// The table and column.
    pub column: &'static str,
}

impl SealContext {
    fn associated_data(self) -> Vec<u8> {
        [self.row.as_bytes().as_slice(), self.column.as_bytes()].concat()
    }
}

/// The id of the master key that sealed a value; `None` where it is no sealed value.
pub(crate) fn key_id(sealed: &[u8]) -> Option<&str> {
    let [VERSION, length, rest @ ..] = sealed else { return None };
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes are not a sealed value.
    #[error("{0}: not a sealed value")]
    Malformed(&'static str),
    /// The key that sealed it is not in the list.
    #[error("{column}: sealed under master key {key_id:?}, which is not configured")]
    UnknownKey {
        /// Where it stands.
        column: &'static str,
        /// The missing key.
        key_id: String,
    },
    /// Altered, moved from elsewhere, or another key under the same id.
    #[error("{column}: does not open under master key {key_id:?}")]
    Refused {
        /// Where it stands.
        column: &'static str,
        /// The key that was tried.
        key_id: String,
    },
}

impl MasterKeys {
    fn newest(&self) -> &MasterKey {
        self.0.first().expect("a parsed list has a key")
    }

    /// What new rows of logs are chained with, and the id of the master key it is derived from.
    pub(crate) fn log_key(&self) -> (&str, &Hmac<Sha256>) {
        let MasterKey { id, log_key, .. } = self.newest();
        (id, log_key)
    }

    /// What rows of logs were chained with under this master key, where it is configured.
    pub(crate) fn log_key_of(&self, id: &str) -> Option<&Hmac<Sha256>> {
        self.0.iter().find(|known| known.id == id).map(|key| &key.log_key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their ids, the one that seals first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// The id of the key that seals.
    pub(crate) fn newest_id(&self) -> &str {
        &self.newest().id
    }

    /// Seals what an older key sealed under the first key. `None` where the first key sealed it.
    ///
    /// # Errors
    /// [`SealError`] where it does not open, whichever key is said to have sealed it.
    pub(crate) fn reseal(&self, context: SealContext, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        let secret = self.open(context, sealed)?;
        let is_newest = key_id(sealed) == Some(self.newest_id());
        Ok((!is_newest).then(|| self.seal(context, &secret)))
    }

    /// Seals `secret` under the first key.
    #[must_use]
    pub fn seal(&self, context: SealContext, secret: &[u8]) -> Vec<u8> {
        let MasterKey { id, cipher, .. } = self.newest();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let aad = context.associated_data();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &aad })
            .expect("a secret is far shorter than the cipher's limit");
        let id_len = u8::try_from(id.len()).expect("ids have at most 64 bytes");
        [&[VERSION, id_len], id.as_bytes(), &nonce, &sealed].concat()
    }

    /// Opens what any of the keys sealed for the same context.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, context: SealContext, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let column = context.column;
        let malformed = || SealError::Malformed(column);
        let [VERSION, id_len, rest @ ..] = sealed else { return Err(malformed()) };
        let (id, rest) = rest.split_at_checked(usize::from(*id_len)).ok_or_else(malformed)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or_else(malformed)?;
        let key_id = String::from_utf8_lossy(id).into_owned();
        let Some(MasterKey { cipher, .. }) = self.0.iter().find(|known| known.id == key_id) else {
            return Err(SealError::UnknownKey { column, key_id });
        };
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| malformed())?;
        let aad = context.associated_data();
        cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| SealError::Refused { column, key_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old:y6BrVzb69n5UsHtWHq6UOV53TFF6fZEKVDaeEmPM+9Q=";
    const NEW: &str = "new:EVB6Di9eadXfpApiob17buV+a82FxnybhDGzb/8hxDc=";

    fn keys(text: &str) -> MasterKeys {
        text.parse().expect("keys")
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let context = SealContext { row: Uuid::now_v7(), column: "tenant.secret" };
        let before = keys(OLD).seal(context, b"sk_1");
        let rotated = keys(&format!("{NEW},{OLD}"));
        assert_eq!(rotated.open(context, &before).expect("the old one opens").as_slice(), b"sk_1");
        let after = rotated.seal(context, b"sk_1");
        assert_eq!(keys(NEW).open(context, &after).expect("the new one sealed").as_slice(), b"sk_1");
        assert!(
            matches!(keys(OLD).open(context, &after), Err(SealError::UnknownKey { key_id, .. }) if key_id == "new")
        );
    }

    #[test]
    fn a_value_opens_only_where_it_was_sealed_and_as_it_was() {
        let keys = keys(OLD);
        let context = SealContext { row: Uuid::now_v7(), column: "tenant.secret" };
        let sealed = keys.seal(context, b"sk_1");
        let elsewhere = SealContext { row: Uuid::now_v7(), ..context };
        let other_column = SealContext { column: "signing_key.private", ..context };
        assert!(keys.open(elsewhere, &sealed).is_err());
        assert!(keys.open(other_column, &sealed).is_err());
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(keys.open(context, &altered).is_err(), "byte {index}");
            assert!(keys.open(context, &sealed[..index]).is_err(), "cut at {index}");
        }
        assert_ne!(keys.seal(context, b"sk_1"), sealed, "each sealing has its own nonce");
    }

    #[test]
    fn a_bad_list_says_which_entry_and_never_which_key() {
        use InvalidMasterKeys as E;
        for (text, why) in [
            ("", E::Form(1)),
            ("k1", E::Form(1)),
            (&format!("{OLD},"), E::Form(2)),
            (&format!("{OLD},{OLD}"), E::Repeated(2)),
            ("k 1:AAAA", E::Id(1)),
            ("k1:AAAA", E::Length(1)),
            ("k1:not base64!", E::Length(1)),
            ("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", E::Weak),
            ("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", E::Weak),
            ("k1:cGFzc3dvcmRwYXNzd29yZHBhc3N3b3JkcGFzc3dvcmQ=", E::Weak),
            (&format!("{NEW}\n{NEW}"), E::Repeated(2)),
        ] {
            assert_eq!(text.parse::<MasterKeys>().map(|_| ()), Err(why), "{text}");
        }
        assert_eq!(format!("{:?}", keys(OLD)), "[\"old\"]");
        // What a weak key sealed can still be opened, and is sealed anew by the one before it.
        let replaced = keys(&format!("{NEW}\nweak:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"));
        assert_eq!(format!("{replaced:?}"), "[\"new\", \"weak\"]");
    }
}
