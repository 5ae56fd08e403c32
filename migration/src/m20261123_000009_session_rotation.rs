//! Columns about a session's last refresh, which allow a lost response to be repeated and a theft to be detected.

use sea_orm_migration::{prelude::*, schema::blob_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 2] = ["previous_refresh_token_hash", "rotation_salt"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite alters one column per statement.
        for column in COLUMNS {
            manager.alter_table(Table::alter().table("sessions").add_column(blob_null(column)).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            manager.alter_table(Table::alter().table("sessions").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
