//! When a signing key begins to sign, and when it was retired.

use sea_orm_migration::prelude::*;

use super::columns::{column, nullable};

pub(super) struct M0008SigningKeys;

impl MigrationName for M0008SigningKeys {
    fn name(&self) -> &'static str {
        "m0008_signing_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0008SigningKeys {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let mut signs_from = column("signs_from");
        // Keys from before this migration sign already.
        signs_from.big_integer().default(0);
        // SQLite adds one column a statement.
        for mut added in [signs_from, nullable("retired_at").big_integer().take()] {
            let table = Table::alter().table(Alias::new("signing_key")).add_column(&mut added).take();
            schema.alter_table(table).await?;
        }
        Ok(())
    }
}
