//! Sessions: one row per signed-in device, found by the digests of its tokens.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{blob, pk_uuid, string_len_null, text_null, uuid};

use crate::table::{create, drop, index, owner, time, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "sessions",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(blob("token_hash"))
                .col(blob("refresh_token_hash"))
                .col(time("expires_at"))
                .col(text_null("device_info"))
                .col(string_len_null("ip_address", 45))
                .col(time("created_at"))
                .col(time("last_used_at"))
                .foreign_key(&mut owner("user_id")),
            [
                unique("idx_sessions_refresh_token", &["refresh_token_hash"]),
                index("idx_sessions_user_id", &["user_id", "id"]),
                index("idx_sessions_expires", &["expires_at"]),
            ],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["sessions"]).await
    }
}
