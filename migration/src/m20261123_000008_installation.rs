//! State that all nodes of one installation share: signing keys, the cursor key and the feed epoch.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{blob, integer, small_integer, string_len};

use crate::table::{create, drop, time, time_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "signing_keys",
            Table::create()
                .col(string_len("kid", 64).primary_key())
                .col(blob("public_key"))
                .col(time("created_at"))
                .col(time_null("retired_at")),
            [],
        )
        .await?;
        create(
            manager,
            "installation",
            Table::create()
                .col(small_integer("id").primary_key().check(Expr::col("id").eq(1)))
                .col(blob("cursor_key"))
                .col(integer("feed_epoch"))
                .col(time("created_at")),
            [],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["installation", "signing_keys"]).await
    }
}
