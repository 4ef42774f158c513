//! Revocations of minted tokens, and the deployment's own secrets.

use sea_orm_migration::prelude::*;

use super::columns::{column, index};

pub(super) struct M0005Minted;

impl MigrationName for M0005Minted {
    fn name(&self) -> &'static str {
        "m0005_minted"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0005Minted {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement. Tokens from before this migration have no generation: they count as 0.
        for name in ["token_generation", "visitor_revocations"] {
            let mut added = column(name);
            added.big_integer().default(0);
            schema.alter_table(Table::alter().table(Alias::new("tenant")).add_column(added).take()).await?;
        }
        for statement in [
            Table::create()
                .table(Alias::new("visitor_revocation"))
                .col(column("tenant_id").uuid())
                .col(column("visitor_user_id").string_len(255))
                .col(column("generation").big_integer())
                .col(column("revoked_at").big_integer())
                .primary_key(Index::create().col(Alias::new("tenant_id")).col(Alias::new("visitor_user_id")))
                .take(),
            Table::create()
                .table(Alias::new("secret"))
                .col(column("name").string_len(64).primary_key())
                .col(column("sealed").binary_len(512))
                .take(),
        ] {
            schema.create_table(statement).await?;
        }
        for statement in [
            index("visitor_revocation_by_generation", "visitor_revocation", &["tenant_id", "generation"]),
            index("visitor_revocation_by_time", "visitor_revocation", &["revoked_at"]),
        ] {
            schema.create_index(statement).await?;
        }
        Ok(())
    }
}
