//! Conversations as each member sees them: the entries of the inbox.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversation_members")]
pub struct Model {
    /// The conversation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub conversation_id: Uuid,
    /// Member whose view this is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Other member.
    pub peer_id: Uuid,
    /// Latest message that the member can see; null when all are deleted.
    pub last_message_id: Option<Uuid>,
    /// Mailbox sequence number of the latest message, which orders the inbox.
    pub last_event: i64,
    /// Number of unread messages.
    pub unread_count: i64,
    /// Sequence number up to which the member has read.
    pub read_sequence: i64,
    /// Other member.
    #[sea_orm(belongs_to, relation_enum = "Peer", from = "peer_id", to = "id")]
    pub peer: BelongsTo<super::users::Entity>,
    /// Latest message that the member can see.
    #[sea_orm(belongs_to, relation_enum = "LastMessage", from = "last_message_id", to = "id")]
    pub last_message: BelongsTo<Option<super::messages::Entity>>,
}

impl ActiveModelBehavior for ActiveModel {}
