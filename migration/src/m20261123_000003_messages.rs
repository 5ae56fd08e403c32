//! Messages: conversations, their two members, the ciphertexts, and each user's ordered mailbox.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, blob, boolean, pk_uuid, string_len, uuid, uuid_null};

use crate::table::{create, drop, index, owner, reference, time, time_null, unique};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            "conversations",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid("first_user_id"))
                .col(uuid("second_user_id"))
                .col(time("created_at"))
                .col(big_integer("last_sequence"))
                .check(Expr::col("first_user_id").lte(Expr::col("second_user_id")))
                .foreign_key(&mut reference("first_user_id", "users"))
                .foreign_key(&mut reference("second_user_id", "users")),
            [unique("idx_conversations_pair", &["first_user_id", "second_user_id"])],
        )
        .await?;
        create(
            manager,
            "conversation_members",
            Table::create()
                .col(uuid("conversation_id"))
                .col(uuid("user_id"))
                .col(uuid("peer_id"))
                .col(uuid_null("last_message_id"))
                .col(big_integer("last_event"))
                .col(big_integer("unread_count"))
                .col(big_integer("read_sequence"))
                .primary_key(Index::create().col("conversation_id").col("user_id"))
                .foreign_key(&mut reference("conversation_id", "conversations"))
                .foreign_key(&mut reference("user_id", "users"))
                .foreign_key(&mut reference("peer_id", "users")),
            [
                unique("idx_conversation_members_peer", &["user_id", "peer_id"]),
                index("idx_conversation_members_inbox", &["user_id", "last_event"]),
            ],
        )
        .await?;
        create(
            manager,
            "messages",
            Table::create()
                .col(pk_uuid("id"))
                .col(uuid("conversation_id"))
                .col(big_integer("sequence"))
                .col(uuid("sender_id"))
                .col(uuid("recipient_id"))
                .col(string_len("client_message_id", 64))
                .col(blob("encrypted_content"))
                .col(blob("iv"))
                .col(time("created_at"))
                .col(time_null("read_at"))
                .col(boolean("deleted_by_sender"))
                .col(boolean("deleted_by_recipient"))
                .foreign_key(&mut reference("conversation_id", "conversations"))
                .foreign_key(&mut reference("sender_id", "users"))
                .foreign_key(&mut reference("recipient_id", "users")),
            [
                unique("idx_messages_sender", &["sender_id", "client_message_id"]),
                unique("idx_messages_conversation", &["conversation_id", "sequence"]),
                index("idx_messages_recipient", &["recipient_id", "created_at"]),
                index("idx_messages_created", &["created_at"]),
            ],
        )
        .await?;
        create(
            manager,
            "mailboxes",
            Table::create()
                .col(uuid("user_id").primary_key())
                .col(big_integer("last_sequence"))
                .col(big_integer("oldest_sequence"))
                .foreign_key(&mut owner("user_id")),
            [],
        )
        .await?;
        create(
            manager,
            "mailbox_events",
            Table::create()
                .col(uuid("user_id"))
                .col(big_integer("sequence"))
                .col(string_len("kind", 16).check(Expr::col("kind").is_in(["SENT", "READ", "DELETED"])))
                .col(uuid("message_id"))
                .col(time("created_at"))
                .primary_key(Index::create().col("user_id").col("sequence")),
            [index("idx_mailbox_events_created", &["created_at"])],
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["mailbox_events", "mailboxes", "messages", "conversation_members", "conversations"]).await
    }
}
