//! Accounts, with their public keys and the vault of their wrapped private keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{blob_null, boolean, pk_uuid, string_len, text};
use sea_orm_migration::sea_orm::DbBackend;

use crate::table::{create, drop, execute, index, time, time_null, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut username = string_len("username", 32);
        if manager.get_database_backend() == DbBackend::Postgres {
            // Pages by name and searches by prefix compare bytes, as SQLite does by default.
            username.extra(r#"COLLATE "C""#);
        }
        create(
            manager,
            "users",
            Table::create()
                .col(pk_uuid("id"))
                .col(username)
                .col(string_len("email", 254))
                .col(text("password_hash"))
                .col(blob_null("public_key_ecc"))
                .col(blob_null("public_key_pqc"))
                .col(time("created_at"))
                .col(time("updated_at"))
                .col(time_null("last_login"))
                .col(boolean("is_active"))
                .col(boolean("is_verified"))
                .col(string_len("role", 16).check(Expr::col("role").is_in(["USER", "ADMIN"])))
                .col(blob_null("key_vault"))
                .col(time_null("keys_changed_at")),
            [
                unique("idx_users_username", &["username"]),
                unique("idx_users_email", &["email"]),
                index("idx_users_active", &["is_active", "username"]),
            ],
        )
        .await?;
        execute(manager, TOUCH_SQLITE, TOUCH_POSTGRES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["users"]).await?;
        execute(manager, "", "DROP FUNCTION users_touch()").await
    }
}

/// The trigger's own update changes the column, so the trigger does not fire again.
const TOUCH_SQLITE: &str = "
    CREATE TRIGGER users_touch AFTER UPDATE ON users FOR EACH ROW
    WHEN NEW.updated_at = OLD.updated_at
    BEGIN
        UPDATE users SET updated_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
        WHERE id = NEW.id;
    END";

const TOUCH_POSTGRES: &str = "
    CREATE FUNCTION users_touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := clock_timestamp();
        RETURN NEW;
    END $$;
    CREATE TRIGGER users_touch BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.updated_at = OLD.updated_at)
    EXECUTE FUNCTION users_touch()";
