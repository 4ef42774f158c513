//! Replicas, and how far each has spread changes.

use sea_orm_migration::prelude::*;

use super::columns::column;

pub(super) struct M0002Replicas;

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
