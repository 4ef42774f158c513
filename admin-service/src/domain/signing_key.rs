//! The keys that sign tokens, as they are kept: the private half sealed.

use jiff::Timestamp;
use uuid::Uuid;

/// An Ed25519 key at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSigningKey {
    /// The `kid` of tokens it signs.
    pub id: Uuid,
    /// The 32 bytes anybody may know.
    pub public: Vec<u8>,
    /// The 32-byte seed, sealed; empty once the key is retired, so that nothing can sign with it again.
    pub sealed_private: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it begins to sign. It is published from the start, so that those who keep a copy of the key set know it by then.
    pub signs_from: Timestamp,
    /// When it was retired: its tokens are over.
    pub retired_at: Option<Timestamp>,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is published, and will sign.
    Next,
    /// It signs every token that is issued now.
    Signs,
    /// It signs no more; the tokens it has signed are accepted.
    Verifies,
    /// Its tokens are over.
    Retired,
    /// It does not open under the configured master keys, so it neither signs nor is published.
    Unreadable,
}

impl KeyState {
    /// Its text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Signs => "signs",
            Self::Verifies => "verifies",
            Self::Retired => "retired",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The key that signs at `now`: the one that began last or, if none has begun, the one that begins first. So there is one as long as
/// a key is not retired.
pub fn signing_at<'a>(
    keys: impl IntoIterator<Item = &'a SealedSigningKey>,
    now: Timestamp,
) -> Option<&'a SealedSigningKey> {
    let order = |key: &&SealedSigningKey| (key.signs_from, key.id);
    let (begun, to_come): (Vec<_>, Vec<_>) =
        keys.into_iter().filter(|key| key.retired_at.is_none()).partition(|key| key.signs_from <= now);
    begun.into_iter().max_by_key(order).or_else(|| to_come.into_iter().min_by_key(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn key(id: u128, signs_from: i64) -> SealedSigningKey {
        SealedSigningKey {
            id: Uuid::from_u128(id),
            public: vec![0; 32],
            sealed_private: vec![1],
            created_at: at(0),
            signs_from: at(signs_from),
            retired_at: None,
        }
    }

    #[test]
    fn the_newest_key_that_has_begun_signs() {
        let signs = |keys: &[SealedSigningKey], now| signing_at(keys, at(now)).map(|key| key.id.as_u128());
        let keys = [key(3, 300), key(1, 0), key(2, 200)];
        assert_eq!([199, 200, 299, 300, 999].map(|now| signs(&keys, now)), [1, 2, 2, 3, 3].map(Some));
        let retired = |mut key: SealedSigningKey| {
            key.retired_at = Some(at(1));
            key
        };
        assert_eq!(signs(&[key(1, 0), retired(key(2, 200))], 500), Some(1));
        assert_eq!(signs(&[retired(key(1, 0)), key(3, 300), key(2, 200)], 100), Some(2), "none has begun");
        assert_eq!(signs(&[key(1, 5), key(2, 5)], 5), Some(2), "made later in one millisecond");
        assert_eq!(signs(&[retired(key(1, 0))], 5), None);
    }
}
