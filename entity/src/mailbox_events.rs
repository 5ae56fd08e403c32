//! Mailbox events: what the feed delivers, in the order of its cursors.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mailbox_events")]
pub struct Model {
    /// Whose mailbox it is in.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Its position in the mailbox.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// `SENT`, `READ` or `DELETED`.
    pub kind: String,
    /// The message it is about.
    pub message_id: Uuid,
    /// When it happened.
    pub created_at: DateTimeUtc,
    /// The message it is about.
    #[sea_orm(belongs_to, from = "message_id", to = "id")]
    pub message: BelongsTo<super::messages::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
