//! Mailbox events, which the feed delivers in the order of its cursors.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mailbox_events")]
pub struct Model {
    /// Owner of the mailbox.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Sequence number of the event in the mailbox.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// `SENT`, `READ` or `DELETED`.
    pub kind: String,
    /// Message that the event is about.
    pub message_id: Uuid,
    /// When the event happened.
    pub created_at: DateTimeUtc,
    /// Message that the event is about.
    #[sea_orm(belongs_to, from = "message_id", to = "id")]
    pub message: BelongsTo<super::messages::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
