//! What a signature is used for: a signature is good once for each use. PROTOCOL.md, section 4, *Replays*.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::LazyLock,
};

/// What a signature is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// GET or HEAD: reading again is no replay, but what was signed for reading must not come back as a write.
    Read,
    /// A call without a body: its signature covers nothing but the time, so it is good once wherever it is sent.
    Once,
    /// A call with a body, to this target.
    Write(Target),
}

/// A method and what it is sent to, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub(super) u32);

/// A target's number is at least this. A replay guard needs the lower numbers for the other uses.
pub(super) const LEAST_TARGET: u32 = 2;

impl Target {
    /// Names a target. Two texts that a backend may take for one must be one here: see `ingress/target.rs`.
    #[must_use]
    pub fn new(name: impl Hash) -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        // 32 of the bits: two targets of one signature share them once in four billion, and then one call is refused.
        let bytes = KEYS.hash_one(name).to_be_bytes();
        Self(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(LEAST_TARGET))
    }
}
