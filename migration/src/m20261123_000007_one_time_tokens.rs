//! Single-use tokens that are sent by mail, stored as digests.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{blob, pk_uuid, string_len, uuid};

use crate::table::{create, drop, index, owner, time, time_null, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "one_time_tokens",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(
                    string_len("purpose", 32)
                        .check(Expr::col("purpose").is_in(["PASSWORD_RESET", "EMAIL_VERIFICATION"])),
                )
                .col(blob("token_hash"))
                .col(time("created_at"))
                .col(time("expires_at"))
                .col(time_null("used_at"))
                .foreign_key(&mut owner("user_id")),
            [
                unique("idx_one_time_tokens_hash", &["token_hash"]),
                index("idx_one_time_tokens_user", &["user_id", "purpose"]),
                index("idx_one_time_tokens_expires", &["expires_at"]),
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["one_time_tokens"]).await
    }
}
