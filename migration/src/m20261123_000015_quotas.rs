//! A mailbox's counts of bytes that its owner sent, which sends compare with the owner's quotas.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, integer};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite alters one column per statement.
        for mut column in [big_integer("stored_bytes"), integer("sent_day"), big_integer("sent_bytes_today")] {
            let column = column.default(0).take();
            manager.alter_table(Table::alter().table("mailboxes").add_column(column).take()).await?;
        }
        // The day's count starts at 0: it only slows senders down.
        let sum = "UPDATE mailboxes SET stored_bytes = held.bytes \
                   FROM (SELECT sender_id, SUM(length(encrypted_content)) AS bytes FROM messages \
                   WHERE deleted_by_sender = false GROUP BY sender_id) AS held \
                   WHERE held.sender_id = mailboxes.user_id";
        manager.get_connection().execute_unprepared(sum).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["sent_bytes_today", "sent_day", "stored_bytes"] {
            manager.alter_table(Table::alter().table("mailboxes").drop_column(column).take()).await?;
        }
        Ok(())
    }
}
