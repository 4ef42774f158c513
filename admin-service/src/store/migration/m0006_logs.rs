//! The access log, and the chains of both logs.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0006Logs;

impl MigrationName for M0006Logs {
    fn name(&self) -> &'static str {
        "m0006_logs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0006Logs {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement. Rows from before this migration are in no chain.
        for added in [nullable("chain_key").string_len(64), nullable("mac").binary_len(32)] {
            schema
                .alter_table(Table::alter().table(Alias::new("audit_log")).add_column(added.to_owned()).take())
                .await?;
        }
        for statement in [
            Table::create()
                .table(Alias::new("access_log"))
                .col(column("number").big_integer().primary_key())
                .col(column("kind").string_len(64))
                .col(nullable("tenant_id").uuid())
                .col(column("actor").string_len(128))
                .col(column("subject").string_len(400))
                .col(column("address").string_len(45))
                .col(column("request_id").string_len(64))
                .col(column("count").big_integer())
                .col(column("occurred_at").big_integer())
                .col(column("chain_key").string_len(64))
                .col(column("mac").binary_len(32))
                .take(),
            Table::create()
                .table(Alias::new("log_chain"))
                .col(column("log").string_len(32).primary_key())
                .col(column("number").big_integer())
                .col(column("link").binary_len(32))
                .col(column("anchor_through").big_integer())
                .col(column("anchor_link").binary_len(32))
                .col(column("anchor_key").string_len(64))
                .col(column("anchor_mac").binary_len(32))
                .take(),
        ] {
            schema.create_table(statement).await?;
        }
        for statement in [
            index("access_log_by_tenant", "access_log", &["tenant_id", "number"]),
            index("access_log_by_time", "access_log", &["occurred_at"]),
        ] {
            schema.create_index(statement).await?;
        }
        Ok(())
    }
}
