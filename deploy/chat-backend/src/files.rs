//! Files that visitors and operators send: where they are kept, and what their addresses are. PROTOCOL.md, section 5.12.
//!
//! The bytes are in an object store, and a row for each file is in the database (`records/files.rs`). The row is written before the first
//! byte and removed after the last one, so that the sweeper, which reads rows, finds everything that nobody needs.

mod content;
mod kept;
mod objects;
mod s3;
mod sweeper;

pub(crate) use kept::Files;
pub use objects::ObjectsError;
pub(crate) use sweeper::sweep;
