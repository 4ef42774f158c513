//! Events on their way to tenants: each tenant's outbox, its events, what was tried, and usage.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0010Events;

impl MigrationName for M0010Events {
    fn name(&self) -> &'static str {
        "m0010_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0010Events {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let table = |name: &'static str| Table::create().table(Alias::new(name)).take();
        let key = |columns: [&'static str; 2]| Index::create().col(columns[0]).col(columns[1]).take();
        for statement in [
            table("outbox")
                .col(column("tenant_id").uuid().primary_key())
                .col(column("last_seq").big_integer().default(0))
                .col(column("first_seq").big_integer().default(1))
                .col(nullable("prune_at").big_integer())
                .col(column("is_held").boolean().default(false))
                .col(column("is_restarted").boolean().default(false))
                .col(nullable("failing_since").big_integer())
                .col(column("failures").integer().default(0))
                .col(nullable("due_at").big_integer())
                .col(column("claim").big_integer().default(0))
                .col(column("claimed_until").big_integer().default(0))
                .take(),
            table("event")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("seq").big_integer())
                .col(column("event_id").string_len(128))
                .col(column("event_type").string_len(32))
                .col(nullable("lane").string_len(255))
                .col(column("occurred_at").big_integer())
                .col(column("received_at").big_integer())
                .col(column("body").text())
                .col(nullable("traceparent").string_len(255))
                .col(column("state").string_len(16))
                .col(column("attempts").integer().default(0))
                .col(nullable("due_at").big_integer())
                .take(),
            table("event_attempt")
                .col(column("tenant_id").uuid())
                .col(column("seq").big_integer())
                .col(column("number").integer())
                .col(column("started_at").big_integer())
                .col(column("latency_ms").big_integer())
                .col(nullable("status").integer())
                .col(column("reason").text())
                .col(column("answer").text())
                .primary_key(Index::create().col("tenant_id").col("seq").col("number"))
                .take(),
            table("usage_record")
                .col(column("tenant_id").uuid())
                .col(column("message_id").string_len(128))
                .col(column("created_at").big_integer())
                .primary_key(&mut key(["tenant_id", "message_id"]))
                .take(),
        ] {
            schema.create_table(statement).await?;
        }
        for statement in [
            index("event_by_seq", "event", &["tenant_id", "seq"]).unique().take(),
            index("event_by_event_id", "event", &["tenant_id", "event_id"]).unique().take(),
        ] {
            schema.create_index(statement).await?;
        }
        let mut stopped = nullable("endpoint_stopped_at");
        stopped.big_integer();
        schema.alter_table(Table::alter().table(Alias::new("tenant")).add_column(&mut stopped).take()).await?;
        for statement in [
            // Only what is due or will be has a time, so these stay small however many events are kept.
            "CREATE INDEX event_due ON event (tenant_id, due_at, seq) WHERE due_at IS NOT NULL",
            "CREATE INDEX event_waiting ON event (tenant_id, lane, seq) WHERE state = 'pending'",
            "CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL AND NOT is_held",
            "CREATE INDEX outbox_to_prune ON outbox (prune_at) WHERE prune_at IS NOT NULL",
            // Every tenant has its outbox from the day it is made.
            "INSERT INTO outbox (tenant_id, is_held) SELECT id, status = 'suspended' FROM tenant",
        ] {
            schema.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
