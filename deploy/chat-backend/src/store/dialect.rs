//! What the two databases say differently.

use sea_orm::DbBackend;

/// The SQL of the database behind a connection. Every statement that is not made of these words is the same on both: parameters are
/// `$1`, `$2`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// That of a connection.
    pub(super) const fn of(backend: DbBackend) -> Self {
        match backend {
            DbBackend::Postgres => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// A JSON list as a table: a row for each of its texts or numbers, as text, in the column `value`.
    pub(crate) fn each(self, parameter: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({parameter})"),
            Self::Postgres => format!("jsonb_array_elements_text(CAST({parameter} AS JSONB))"),
        }
    }

    /// The end of a query whose row its transaction will change.
    pub(crate) const fn for_update(self) -> &'static str {
        match self {
            // A transaction that writes has the only writer's place already.
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// `LIKE` that takes upper and lower case for the same.
    pub(crate) const fn like(self) -> &'static str {
        match self {
            Self::Sqlite => "LIKE",
            Self::Postgres => "ILIKE",
        }
    }
}
