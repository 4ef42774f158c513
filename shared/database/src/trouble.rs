//! What an error of a database means, and what it says of the connection it came on.

use std::sync::Arc;

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, postgres::PgSeverity},
};

/// What a database error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The database is away, busy, or shutting down: trying again may help.
    Away,
    /// The database takes no changes: its disk is full or failing, or it may only be read. Nothing was changed.
    NoChanges,
    /// A statement was refused for what it is: trying again does not help.
    Refused,
}

/// The driver's error in a database error.
#[must_use]
pub fn cause(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(cause))
        | DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// A driver's error as a database error.
#[must_use]
pub fn conn_error(cause: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(cause)))
}

/// The primary result code of an error of SQLite's (sqlite.org/rescode.html); its extended codes hold it in their lowest byte.
fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<u32> {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_NOMEM: u32 = 7;
const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;

/// What a database error means.
#[must_use]
pub fn trouble(error: &DbErr) -> Trouble {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return Trouble::Away;
    }
    let Some(cause) = cause(error) else { return Trouble::Refused };
    match cause {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Trouble::Away,
        sqlx::Error::Database(database) => match sqlite_code(database.as_ref()) {
            Some(SQLITE_BUSY | SQLITE_LOCKED | SQLITE_CANTOPEN) => Trouble::Away,
            Some(SQLITE_NOMEM | SQLITE_READONLY | SQLITE_IOERR | SQLITE_FULL) => Trouble::NoChanges,
            Some(_) => Trouble::Refused,
            None => postgres_trouble(&database.code().unwrap_or_default()),
        },
        _ => Trouble::Refused,
    }
}

/// By SQLSTATE (PostgreSQL's manual, appendix A).
pub(super) fn postgres_trouble(code: &str) -> Trouble {
    match code {
        // The server may only be read, as after a failover; or its disk is full.
        "25006" | "53100" => Trouble::NoChanges,
        // 25P03, 25P04: the server ended the session, because a transaction stood still or took too long.
        "40001" | "40P01" | "55P03" | "25P03" | "25P04" => Trouble::Away,
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Trouble::Away,
        _ => Trouble::Refused,
    }
}

/// Whether SQLite could not make the file by which connections share a database.
pub(super) fn has_no_room(error: &DbErr) -> bool {
    let Some(sqlx::Error::Database(database)) = cause(error) else { return false };
    sqlite_code(database.as_ref()).is_some_and(|code| matches!(code, SQLITE_FULL | SQLITE_IOERR | SQLITE_CANTOPEN))
}

/// Whether, after this error, the open connections may not serve again.
pub(super) fn is_doubtful(error: &DbErr) -> bool {
    let Some(cause) = cause(error) else { return false };
    match cause {
        sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => match sqlite_code(database.as_ref()) {
            Some(code) => matches!(
                code,
                SQLITE_NOMEM
                    | SQLITE_READONLY
                    | SQLITE_IOERR
                    | SQLITE_CORRUPT
                    | SQLITE_FULL
                    | SQLITE_CANTOPEN
                    | SQLITE_NOTADB
            ),
            None => {
                let code = database.code().unwrap_or_default();
                code == "25006" || ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
            }
        },
        _ => false,
    }
}

/// Whether a commit that failed like this may have been made all the same.
pub(super) fn may_have_committed(error: &DbErr) -> bool {
    let Some(cause) = cause(error) else { return true };
    let sqlx::Error::Database(database) = cause else { return true };
    if let Some(code) = sqlite_code(database.as_ref()) {
        // SQLite writes a commit to its log before it makes sure that it is on the disk.
        return matches!(code, SQLITE_IOERR | SQLITE_NOMEM);
    }
    // The server says so itself, and goes on, or has rolled the transaction back before it ended the session: then nothing was committed.
    !database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some_and(|error| {
        let is_rolled_back = matches!(error.code(), "25P03" | "25P04");
        is_rolled_back || error.severity() == PgSeverity::Error && !matches!(error.code(), "40003" | "08007")
    })
}
