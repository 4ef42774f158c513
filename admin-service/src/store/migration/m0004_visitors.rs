//! Visitors' sessions.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0004Visitors;

impl MigrationName for M0004Visitors {
    fn name(&self) -> &'static str {
        "m0004_visitors"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0004Visitors {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema
            .create_table(
                Table::create()
                    .table(Alias::new("visitor_session"))
                    .col(column("id").uuid().primary_key())
                    .col(column("tenant_id").uuid())
                    .col(column("bot_id").uuid())
                    .col(column("widget_key").string_len(64))
                    .col(column("origin").string_len(320))
                    .col(column("locale").string_len(35))
                    .col(column("mode").string_len(16))
                    .col(nullable("routing_key").string_len(100))
                    .col(column("metadata").json_binary())
                    .col(column("created_at").big_integer())
                    .col(column("expires_at").big_integer())
                    .take(),
            )
            .await?;
        schema.create_index(index("visitor_session_by_end", "visitor_session", &["expires_at"])).await
    }
}
