//! An answer, and the revision of the directory that it belongs to.

/// An answer and the directory's revision it was read or written at.
#[derive(Clone, Debug)]
pub struct AtRevision<T> {
    /// The answer.
    pub value: T,
    /// The revision.
    pub revision: u64,
}
