//! The schema, embedded and applied at start. A migration that has landed is never edited: add the next.

use sea_orm_migration::prelude::*;

pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(M0001Initial),
            Box::new(M0002Replicas),
            Box::new(M0003Accounts),
            Box::new(M0004Visitors),
            Box::new(M0005Minted),
            Box::new(M0006Logs),
            Box::new(M0007SessionEnds),
            Box::new(M0008SigningKeys),
        ]
    }
}

struct M0001Initial;

impl MigrationName for M0001Initial {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

fn column(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.not_null();
    column
}

fn nullable(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index.take()
}

#[async_trait::async_trait]
impl MigrationTrait for M0001Initial {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        let table = |name: &'static str| Table::create().table(Alias::new(name)).take();
        for statement in [
            table("directory")
                .col(column("id").integer().primary_key())
                .col(column("revision").big_integer())
                .col(column("tenant_total").big_integer())
                .take(),
            table("tenant")
                .col(column("id").uuid().primary_key())
                .col(column("status").string_len(16))
                .col(column("sealed_secret").binary_len(512))
                .col(column("widget_public_key").string_len(64))
                .col(column("settings").json_binary())
                .col(column("revision").big_integer())
                .col(column("created_at").big_integer())
                .col(column("updated_at").big_integer())
                .col(nullable("secret_rotated_at").big_integer())
                .col(nullable("widget_key_rotated_at").big_integer())
                .take(),
            table("audit_log")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("actor").string_len(128))
                .col(column("action").string_len(64))
                .col(column("request_id").string_len(64))
                .col(column("changed_fields").json_binary())
                .col(column("occurred_at").big_integer())
                .col(column("revision").big_integer())
                .take(),
            table("operator")
                .col(column("id").uuid().primary_key())
                .col(column("tenant_id").uuid())
                .col(column("email").string_len(254))
                .col(column("display_name").string_len(200))
                .col(column("routing_keys").json_binary())
                .col(nullable("avatar_url").string_len(2048))
                .col(column("created_at").big_integer())
                .col(column("updated_at").big_integer())
                .take(),
            table("signing_key")
                .col(column("id").uuid().primary_key())
                .col(column("public").binary_len(32))
                .col(column("sealed_private").binary_len(512))
                .col(column("created_at").big_integer())
                .take(),
        ] {
            schema.create_table(statement).await?;
        }
        for statement in [
            index("tenant_by_widget_key", "tenant", &["widget_public_key"]).unique().take(),
            index("audit_log_by_revision", "audit_log", &["revision"]).unique().take(),
            index("audit_log_by_tenant", "audit_log", &["tenant_id", "revision"]),
            index("operator_by_email", "operator", &["tenant_id", "email"]).unique().take(),
        ] {
            schema.create_index(statement).await?;
        }
        let mut first = Query::insert();
        first
            .into_table(Alias::new("directory"))
            .columns(["id", "revision", "tenant_total"].map(Alias::new))
            .values_panic([1.into(), 0_i64.into(), 0_i64.into()]);
        schema.execute(first.take()).await
    }
}

struct M0002Replicas;

impl MigrationName for M0002Replicas {
    fn name(&self) -> &'static str {
        "m0002_replicas"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0002Replicas {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        schema
            .create_table(
                Table::create()
                    .table(Alias::new("replica"))
                    .col(column("incarnation").uuid().primary_key())
                    .col(column("renewal").big_integer())
                    .col(column("period_ms").big_integer())
                    .col(column("lease_ms").big_integer())
                    .col(column("done_revision").big_integer())
                    .col(column("acknowledged").binary())
                    .col(column("retired").boolean())
                    .take(),
            )
            .await
    }
}

struct M0003Accounts;

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

struct M0004Visitors;

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

struct M0005Minted;

impl MigrationName for M0005Minted {
    fn name(&self) -> &'static str {
        "m0005_minted"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0005Minted {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement. Tokens of before say no generation, which is the first.
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

struct M0006Logs;

impl MigrationName for M0006Logs {
    fn name(&self) -> &'static str {
        "m0006_logs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0006Logs {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement. Rows of before are in no chain.
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

struct M0007SessionEnds;

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

struct M0008SigningKeys;

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
        // Keys of before sign already.
        signs_from.big_integer().default(0);
        // SQLite adds one column a statement.
        for mut added in [signs_from, nullable("retired_at").big_integer().take()] {
            let table = Table::alter().table(Alias::new("signing_key")).add_column(&mut added).take();
            schema.alter_table(table).await?;
        }
        Ok(())
    }
}
