//! What an operator's tokens rest on: the membership's version, and whether it was revoked.

use sea_orm_migration::prelude::*;

use super::columns::{column, nullable};

pub(super) struct M0011Memberships;

impl MigrationName for M0011Memberships {
    fn name(&self) -> &'static str {
        "m0011_memberships"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0011Memberships {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // Tokens from before this migration name no version: they count as 0, and so do the operators that are there.
        let mut version = column("version");
        version.big_integer().default(0);
        let mut changed = column("operators_changed");
        changed.big_integer().default(0);
        // SQLite adds one column a statement.
        for (table, mut added) in
            [("operator", version), ("operator", nullable("revoked_at").big_integer().take()), ("tenant", changed)]
        {
            schema.alter_table(Table::alter().table(Alias::new(table)).add_column(&mut added).take()).await?;
        }
        Ok(())
    }
}
