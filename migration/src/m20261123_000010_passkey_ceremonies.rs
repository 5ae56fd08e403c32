//! Unfinished passkey ceremonies.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{json_binary, pk_uuid, string_len, uuid_null};

use crate::table::{create, drop, index, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "passkey_ceremonies",
            // No foreign keys: a row lives for minutes, and an ended session cannot finish its ceremony.
            Table::create()
                .col(pk_uuid("id"))
                .col(string_len("kind", 16).check(Expr::col("kind").is_in(["REGISTRATION", "LOGIN"])))
                .col(uuid_null("session_id"))
                .col(json_binary("state"))
                .col(time("expires_at")),
            [index("idx_passkey_ceremonies_expires", &["expires_at"])],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["passkey_ceremonies"]).await
    }
}
