//! Performance metrics, recorded by clients and by the server itself.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{double, json_binary_null, pk_uuid, string_len};

use crate::table::{create, drop, index, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "performance_metrics",
            Table::create()
                .col(pk_uuid("id"))
                .col(string_len("metric_name", 128))
                .col(double("metric_value"))
                .col(string_len("metric_unit", 32))
                .col(json_binary_null("metadata"))
                .col(time("created_at")),
            [index("idx_performance_created", &["created_at", "id"])],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["performance_metrics"]).await
    }
}
