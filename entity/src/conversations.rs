//! Conversations: one row a pair of users, which orders their messages.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversations")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The lesser of the two ids; both are equal in a note to oneself.
    pub first_user_id: Uuid,
    /// The greater of the two ids.
    pub second_user_id: Uuid,
    /// When the first message was sent.
    pub created_at: DateTimeUtc,
    /// The position of the latest message.
    pub last_sequence: i64,
}

impl ActiveModelBehavior for ActiveModel {}
