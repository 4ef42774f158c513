//! Files that visitors and operators send: where they are kept, and what their addresses are. PROTOCOL.md, section 5.12.
//!
//! Bytes are in an object store, and what is known of them in the database (`records/files.rs`). A file's row is there before its first
//! byte, and goes after its last, so that the sweeper finds everything that nobody needs.

mod content;
mod kept;
mod objects;
mod s3;
mod sweeper;

pub(crate) use kept::Files;
pub use objects::ObjectsError;
pub(crate) use sweeper::sweep;
