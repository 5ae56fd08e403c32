//! Changes to users that other users see, numbered in commit order.

use sea_orm_migration::{prelude::*, schema::big_integer};

use crate::table::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The column of the latest number, and the column of each user's own number.
const COLUMNS: [(&str, &str); 2] = [("installation", "last_user_change"), ("users", "change_sequence")];
const INDEX: &str = "idx_users_change_sequence";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in COLUMNS {
            let mut column = big_integer(column);
            manager.alter_table(Table::alter().table(table).add_column(column.default(0)).take()).await?;
        }
        manager.create_index(index(INDEX, &["change_sequence"]).table("users").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name(INDEX).table("users").to_owned()).await?;
        for (table, column) in COLUMNS {
            manager.alter_table(Table::alter().table(table).drop_column(column).take()).await?;
        }
        Ok(())
    }
}
