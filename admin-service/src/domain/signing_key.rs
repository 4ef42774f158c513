//! The key that signs tokens, as it is kept: the private half sealed.

use jiff::Timestamp;
use uuid::Uuid;

/// An Ed25519 key at rest.
#[derive(Clone, Debug)]
pub struct SealedSigningKey {
    /// The `kid` of tokens it signs.
    pub id: Uuid,
    /// The 32 bytes anybody may know.
    pub public: Vec<u8>,
    /// The 32-byte seed, sealed.
    pub sealed_private: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}
