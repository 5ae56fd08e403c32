//! Messages: opaque ciphertexts from one user to another.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The conversation it belongs to.
    pub conversation_id: Uuid,
    /// Its position in the conversation, from 1.
    pub sequence: i64,
    /// Who sent it.
    pub sender_id: Uuid,
    /// Whom it is for.
    pub recipient_id: Uuid,
    /// The sender's own name for it, which makes sending idempotent.
    pub client_message_id: String,
    /// The ciphertext; empty once both sides have deleted it.
    pub encrypted_content: Vec<u8>,
    /// The nonce, 12 or 24 bytes; empty once both sides have deleted it.
    pub iv: Vec<u8>,
    /// When it was accepted.
    pub created_at: DateTimeUtc,
    /// When the recipient read it; absent before.
    pub read_at: Option<DateTimeUtc>,
    /// Whether it is hidden on the sender's side.
    pub deleted_by_sender: bool,
    /// Whether it is hidden on the recipient's side.
    pub deleted_by_recipient: bool,
    /// Who sent it.
    #[sea_orm(belongs_to, relation_enum = "Sender", from = "sender_id", to = "id")]
    pub sender: BelongsTo<super::users::Entity>,
    /// Whom it is for.
    #[sea_orm(belongs_to, relation_enum = "Recipient", from = "recipient_id", to = "id")]
    pub recipient: BelongsTo<super::users::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
