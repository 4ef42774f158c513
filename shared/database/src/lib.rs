//! Database connections that are trusted only as long as nothing has gone wrong on them.
//!
//! When a disk is full, SQLite rolls a transaction back by itself; the driver's count of open transactions then stays one too
//! high, and whatever is written later on that connection is acknowledged and never committed. After a failover a connection to
//! PostgreSQL may lead to a server that takes no changes any more. So this crate looks at every error. If an error puts
//! the connections in doubt, every connection that was open at the time is closed before it serves again. A connection that is given
//! back in the middle of a transaction never serves again.
//!
//! The crate does not know what is written, or for whom.

mod guard;
mod sqlite;
mod trouble;

pub use guard::{CommitError, Guard, Guarded};
pub use sqlite::{Anchor, SqliteFile, sqlite_file};
pub use trouble::{Trouble, cause, conn_error, trouble};
