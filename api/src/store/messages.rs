//! Messages, as far as their two people may see them.

use qv_entity::messages::{ActiveModel, Column, Entity, Model};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, Order, QueryFilter};

use super::{Error, page::paged};
use crate::domain::{ConversationId, Message, MessageId, Page, Slice, UserId};

/// Adds a message.
pub async fn insert(db: &impl ConnectionTrait, message: &Message) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(message.id.0),
        conversation_id: Set(message.conversation_id.0),
        sequence: Set(message.sequence),
        sender_id: Set(message.sender_id.0),
        recipient_id: Set(message.recipient_id.0),
        client_message_id: Set(message.client_message_id.clone()),
        encrypted_content: Set(message.encrypted_content.clone()),
        iv: Set(message.iv.clone()),
        created_at: Set(message.created_at),
        read_at: Set(message.read_at),
        deleted_by_sender: Set(false),
        deleted_by_recipient: Set(false),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The message that a sender gave this id of its own, deleted or not.
pub async fn find_by_client_message_id(
    db: &impl ConnectionTrait,
    sender_id: UserId,
    client_message_id: &str,
) -> Result<Option<Message>, Error> {
    let select =
        Entity::find().filter(Column::SenderId.eq(sender_id.0)).filter(Column::ClientMessageId.eq(client_message_id));
    Ok(select.one(db).await?.map(message))
}

/// Those of these messages that the user may see, in any order.
pub async fn find_many(db: &impl ConnectionTrait, viewer: UserId, ids: &[MessageId]) -> Result<Vec<Message>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0))).filter(visible_to(viewer));
    Ok(select.all(db).await?.into_iter().map(message).collect())
}

/// A conversation's messages that the user may see, the newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    viewer: UserId,
    conversation_id: ConversationId,
    page: &Page<i64>,
) -> Result<Slice<Message>, Error> {
    let select = Entity::find().filter(Column::ConversationId.eq(conversation_id.0)).filter(visible_to(viewer));
    let rows = paged(select, Column::Sequence, &Order::Desc, page).all(db).await?;
    Ok(page.slice(rows.into_iter().map(message).collect()))
}

fn visible_to(viewer: UserId) -> Condition {
    let is_sent = Condition::all().add(Column::SenderId.eq(viewer.0)).add(Column::DeletedBySender.eq(false));
    let is_received = Condition::all().add(Column::RecipientId.eq(viewer.0)).add(Column::DeletedByRecipient.eq(false));
    Condition::any().add(is_sent).add(is_received)
}

fn message(row: Model) -> Message {
    Message {
        id: MessageId(row.id),
        conversation_id: ConversationId(row.conversation_id),
        sequence: row.sequence,
        sender_id: UserId(row.sender_id),
        recipient_id: UserId(row.recipient_id),
        client_message_id: row.client_message_id,
        encrypted_content: row.encrypted_content,
        iv: row.iv,
        created_at: row.created_at,
        read_at: row.read_at,
    }
}
