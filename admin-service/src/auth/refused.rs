//! Why an operator is not let in.

use uuid::Uuid;

use crate::{domain::admin_key::Needed, errors::UseCaseError};

/// Why an operator is not let in.
#[derive(Debug)]
pub(crate) enum AdminKeyRefused {
    /// No admin key was sent.
    Missing,
    /// The key that was sent is none of the admin keys.
    Wrong,
    /// The key was revoked or has expired: that is no guess, and the caller is told the same as with a wrong one.
    Over,
    /// The key lacks the scope of the call.
    MissingScope {
        /// The key's id.
        key: Uuid,
        /// What the call needs.
        needed: Needed,
    },
    /// Too many wrong keys came from this address.
    TooMany {
        /// When the address may try again.
        retry_after_seconds: u64,
    },
    /// The database could not be asked for the key.
    NotChecked(UseCaseError),
}
