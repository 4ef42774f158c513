//! What a signature is used for: a signature is good once for each use. PROTOCOL.md, section 4, *Replays*.

use wire::signature::Signature;

/// A verified signature, and what it is used for.
pub struct SignedUse<'a> {
    pub signature: &'a Signature,
    /// When it was signed, within the window. Unix milliseconds.
    pub timestamp_ms: i64,
    pub used: Use,
}

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
    /// Names a target, the same at every gateway. Two texts that a backend may take for one must be one here: see `ingress/target.rs`.
    #[must_use]
    pub fn new(method: &str, name: &[u8]) -> Self {
        let mut hash = crc32fast::Hasher::new();
        hash.update(method.as_bytes());
        // No method has one.
        hash.update(b" ");
        hash.update(name);
        // Two targets of one signature share their 32 bits once in four billion, and then one call is refused.
        Self(hash.finalize().max(LEAST_TARGET))
    }
}
