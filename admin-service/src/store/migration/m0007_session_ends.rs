//! Sessions that end before their time, and the tokens of a session that were used.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0007SessionEnds;

impl MigrationName for M0007SessionEnds {
    fn name(&self) -> &'static str {
        "m0007_session_ends"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0007SessionEnds {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let mut ended = column("sessions_ended");
        ended.big_integer().default(0);
        // SQLite adds one column a statement.
        for (table, mut added) in [
            ("tenant", ended),
            ("visitor_session", nullable("ended_revision").big_integer().take()),
            ("visitor_session", nullable("used_tokens").json_binary().take()),
        ] {
            schema.alter_table(Table::alter().table(Alias::new(table)).add_column(&mut added).take()).await?;
        }
        schema
            .create_index(index("visitor_session_by_tenants_end", "visitor_session", &["tenant_id", "ended_revision"]))
            .await
    }
}
