//! Why an operator is not let in.

/// Why an operator is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminKeyRefused {
    /// No admin key was sent.
    Missing,
    /// The key that was sent is none of the admin keys.
    Wrong,
    /// Too many wrong keys came from this address.
    TooMany {
        /// When the address may try again.
        retry_after_seconds: u64,
    },
}
