//! The first schema: the directory, tenants, the audit log, operators, signing keys.

use sea_orm_migration::prelude::*;

use super::columns::{column, index, nullable};

pub(super) struct M0001Initial;

impl MigrationName for M0001Initial {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
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
