//! Sessions of visitors whom the tenant's backend vouched for, and the session that followed one.

use sea_orm_migration::prelude::*;

use super::columns::{index, nullable};

pub(super) struct M0012Identities;

impl MigrationName for M0012Identities {
    fn name(&self) -> &'static str {
        "m0012_identities"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0012Identities {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column a statement.
        for mut added in [
            nullable("visitor_user_id").string().take(),
            nullable("visitor_name").string().take(),
            nullable("visitor_email").string().take(),
            nullable("tenant_generation").big_integer().take(),
            nullable("continues").uuid().take(),
            nullable("succeeded_by").uuid().take(),
        ] {
            let altered = Table::alter().table(Alias::new("visitor_session")).add_column(&mut added).take();
            schema.alter_table(altered).await?;
        }
        schema
            .create_index(index("visitor_session_by_visitor", "visitor_session", &["tenant_id", "visitor_user_id"]))
            .await
    }
}
