//! How every migration writes columns and indexes.

use sea_orm_migration::prelude::*;

/// A column that always has a value.
pub(super) fn column(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.not_null();
    column
}

/// A column that may be null.
pub(super) fn nullable(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

/// An index over some of a table's columns, in their order.
pub(super) fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index.take()
}
