//! Account keys, bots, and widget keys of their own.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0003Accounts;

impl MigrationName for M0003Accounts {
    fn name(&self) -> &'static str {
        "m0003_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0003Accounts {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let table = |name: &'static str| Table::create().table(Alias::new(name)).take();
        for statement in [
            table("account_key")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("name").string_len(100))
                .col(column("digest").binary_len(32))
                .col(column("hint").string_len(4))
                .col(column("abilities").json_binary())
                .col(column("created_at").big_integer())
                .col(nullable("expires_at").big_integer())
                .col(nullable("revoked_at").big_integer())
                .col(nullable("last_used_at").big_integer())
                .take(),
            table("bot")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("name").string_len(100))
                .col(column("is_default").boolean())
                .col(column("created_at").big_integer())
                .col(nullable("look").json_binary())
                .col(nullable("look_updated_at").big_integer())
                .take(),
            table("widget_key")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("bot_id").uuid())
                .col(column("api_key").string_len(64))
                .col(column("name").string_len(100))
                .col(column("allowed_domains").json_binary())
                .col(column("rate_limit_per_hour").big_integer())
                .col(column("is_active").boolean())
                .col(column("created_at").big_integer())
                .col(nullable("last_used_at").big_integer())
                .take(),
        ] {
            schema.create_table(statement).await?;
        }
        for statement in [
            index("account_key_by_digest", "account_key", &["digest"]).unique().take(),
            index("account_key_by_tenant", "account_key", &["tenant_id", "id"]),
            index("bot_by_tenant", "bot", &["tenant_id", "id"]),
            index("widget_key_by_text", "widget_key", &["api_key"]).unique().take(),
            index("widget_key_by_bot", "widget_key", &["bot_id", "created_at"]),
        ] {
            schema.create_index(statement).await?;
        }
        // Tenants from before have their default bot too, and their own widget key is its first. The ids are theirs: one each,
        // in one statement.
        for statement in [
            "INSERT INTO bot (id, tenant_id, name, is_default, created_at) \
             SELECT id, id, 'Default', TRUE, created_at FROM tenant",
            "INSERT INTO widget_key (id, tenant_id, bot_id, api_key, name, allowed_domains, rate_limit_per_hour, \
             is_active, created_at) \
             SELECT id, id, id, widget_public_key, 'Default', '[]', 1000, TRUE, created_at FROM tenant",
        ] {
            schema.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
