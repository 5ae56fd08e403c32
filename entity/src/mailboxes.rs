//! Mailboxes: the counter that puts a user's events into commit order.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mailboxes")]
pub struct Model {
    /// Whose mailbox it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// The position of the latest event; 0 when there was none.
    pub last_sequence: i64,
    /// The position of the first event that retention has kept.
    pub oldest_sequence: i64,
    /// How many messages await reading, in all conversations together.
    pub unread_count: i64,
}

impl ActiveModelBehavior for ActiveModel {}
