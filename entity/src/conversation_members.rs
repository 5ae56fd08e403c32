//! A conversation as one of its two users sees it: a line of their inbox.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversation_members")]
pub struct Model {
    /// The conversation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub conversation_id: Uuid,
    /// Whose view it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// The other user.
    pub peer_id: Uuid,
    /// The latest message this user can see; absent when all are deleted.
    pub last_message_id: Option<Uuid>,
    /// The mailbox position of the latest message: the order of the inbox.
    pub last_event: i64,
    /// How many messages await reading.
    pub unread_count: i64,
    /// The position up to which this user has read.
    pub read_sequence: i64,
    /// The other user.
    #[sea_orm(belongs_to, relation_enum = "Peer", from = "peer_id", to = "id")]
    pub peer: BelongsTo<super::users::Entity>,
    /// The latest message this user can see.
    #[sea_orm(belongs_to, relation_enum = "LastMessage", from = "last_message_id", to = "id")]
    pub last_message: BelongsTo<Option<super::messages::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
