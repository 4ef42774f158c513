//! What a change was made to, beside the names of the fields that changed.

use sea_orm_migration::prelude::*;

use super::columns::nullable;

pub(super) struct M0009AuditSubject;

impl MigrationName for M0009AuditSubject {
    fn name(&self) -> &'static str {
        "m0009_audit_subject"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for M0009AuditSubject {
    #[expect(elided_lifetimes_in_paths, reason = "the trait's own signature elides it")]
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        // Rows from before this migration have no subject, and their links do not cover one: they verify as before.
        let mut added = nullable("subject").string_len(400).take();
        schema.alter_table(Table::alter().table(Alias::new("audit_log")).add_column(&mut added).take()).await
    }
}
