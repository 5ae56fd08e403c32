//! A mailbox's unread count over all conversations, which is stored so that reads need no sum.

use sea_orm_migration::{prelude::*, schema::big_integer};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = big_integer("unread_count").default(0).take();
        manager.alter_table(Table::alter().table("mailboxes").add_column(column).take()).await?;
        let sum = "UPDATE mailboxes SET unread_count = (SELECT COALESCE(SUM(unread_count), 0) \
                   FROM conversation_members WHERE conversation_members.user_id = mailboxes.user_id)";
        manager.get_connection().execute_unprepared(sum).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("mailboxes").drop_column("unread_count").take()).await
    }
}
