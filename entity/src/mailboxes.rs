//! Mailboxes: one row per user, which numbers the user's events in commit order.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mailboxes")]
pub struct Model {
    /// Owner of the mailbox.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Sequence number of the latest event; 0 before the first.
    pub last_sequence: i64,
    /// Sequence number of the first event that retention has kept.
    pub oldest_sequence: i64,
    /// Number of unread messages, in all conversations together.
    pub unread_count: i64,
    /// Ciphertext bytes of the messages that the owner has sent and not deleted.
    pub stored_bytes: i64,
    /// Day that `sent_bytes_today` counts, in days since 1970 (UTC).
    pub sent_day: i32,
    /// Ciphertext bytes of the messages that the owner sent on that day, deleted or not.
    pub sent_bytes_today: i64,
}

impl ActiveModelBehavior for ActiveModel {}
