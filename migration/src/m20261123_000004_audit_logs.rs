//! The append-only audit trail.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{json_binary_null, pk_uuid, string_len, string_len_null, text_null, uuid_null};

use crate::table::{create, drop, execute, index, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "audit_logs",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid_null("user_id"))
                .col(string_len("action", 64))
                .col(string_len_null("resource", 128))
                .col(json_binary_null("details"))
                .col(string_len_null("ip_address", 45))
                .col(text_null("user_agent"))
                .col(time("created_at")),
            [
                index("idx_audit_logs_user_id", &["user_id", "id"]),
                index("idx_audit_logs_created", &["created_at", "id"]),
            ],
        )
        .await?;
        execute(manager, APPEND_ONLY_SQLITE, APPEND_ONLY_POSTGRES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["audit_logs"]).await?;
        execute(manager, "", "DROP FUNCTION audit_logs_refuse()").await
    }
}

const APPEND_ONLY_SQLITE: &str = "
    CREATE TRIGGER audit_logs_append_only BEFORE UPDATE ON audit_logs
    BEGIN
        SELECT RAISE(ABORT, 'audit_logs is append-only');
    END";

const APPEND_ONLY_POSTGRES: &str = "
    CREATE FUNCTION audit_logs_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit_logs is append-only';
    END $$;
    CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit_logs_refuse()";
