//! Passkeys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, blob, json_binary, pk_uuid, string_len, uuid};

use crate::table::{create, drop, index, owner, time, time_null, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "webauthn_credentials",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid("user_id"))
                .col(blob("credential_id"))
                .col(json_binary("public_key"))
                .col(big_integer("counter"))
                .col(string_len("device_name", 64))
                .col(time("created_at"))
                .col(time_null("last_used"))
                .foreign_key(&mut owner("user_id")),
            [unique("idx_webauthn_credential_id", &["credential_id"]), index("idx_webauthn_user_id", &["user_id"])],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["webauthn_credentials"]).await
    }
}
