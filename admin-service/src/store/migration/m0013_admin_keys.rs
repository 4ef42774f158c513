//! Admin keys with scopes, beside the configured root keys.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0013AdminKeys;

impl MigrationName for M0013AdminKeys {
    fn name(&self) -> &'static str {
        "m0013_admin_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0013AdminKeys {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let created = Table::create()
            .table(Alias::new("admin_key"))
            .col(column("id").uuid().primary_key())
            .col(column("name").string_len(100))
            .col(column("digest").binary_len(32))
            .col(column("hint").string_len(4))
            .col(column("scopes").json_binary())
            .col(column("created_at").big_integer())
            .col(nullable("expires_at").big_integer())
            .col(nullable("revoked_at").big_integer())
            .col(nullable("last_used_at").big_integer())
            .take();
        schema.create_table(created).await?;
        schema.create_index(index("admin_key_by_digest", "admin_key", &["digest"]).unique().take()).await
    }
}
