//! The secret before a rotation with overlap, until its end.

use sea_orm_migration::prelude::*;

use super::columns::nullable;

pub(super) struct M0014PreviousSecret;

impl MigrationName for M0014PreviousSecret {
    fn name(&self) -> &'static str {
        "m0014_previous_secret"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0014PreviousSecret {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let times = ["previous_rotated_at", "previous_expires_at", "previous_last_used_at"];
        let mut added: Vec<_> = times.into_iter().map(|name| nullable(name).big_integer().take()).collect();
        added.push(nullable("previous_sealed_secret").binary_len(512).take());
        added.push(nullable("previous_last_used_by").string_len(200).take());
        // SQLite adds one column a statement.
        for mut column in added {
            schema.alter_table(Table::alter().table(Alias::new("tenant")).add_column(&mut column).take()).await?;
        }
        // Looked through every few seconds, and most tenants are not in it.
        let index =
            "CREATE INDEX tenant_by_previous_end ON tenant (previous_expires_at) WHERE previous_expires_at IS NOT NULL";
        schema.get_connection().execute_unprepared(index).await.map(drop)
    }
}
