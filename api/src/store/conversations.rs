//! Conversations and their members' inbox entries. Writes keep them up to date, so that reads compute nothing.

use qv_entity::conversation_members::{
    ActiveModel as MemberRow, Column as Member, Entity as Members, Model as MemberModel,
};
use qv_entity::conversations::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue::Set, sea_query::Expr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryResult, Statement,
};
use uuid::Uuid;

use crate::domain::{Conversation, ConversationId, InboxLine, MessageId, Page, Slice, Timestamp, UserId};
use crate::store::{Error, columns::at, messages, messages::SequenceRange, page::descending};

/// The sequence number of a new message in its conversation.
pub struct Place {
    /// The conversation.
    pub id: ConversationId,
    /// Sequence number, from 1.
    pub sequence: i64,
}

/// A new message from one member's view.
pub struct Arrival {
    /// The member.
    pub user_id: UserId,
    /// The other member.
    pub peer_id: UserId,
    /// Sequence number of the message's event in the member's mailbox.
    pub event: i64,
    /// Whether the member has yet to read the message.
    pub is_unread: bool,
}

/// A conversation from one member's view.
pub struct Share {
    /// The conversation as the member sees it.
    pub conversation: Conversation,
    /// Sequence number up to which the member has read.
    pub read_sequence: i64,
}

/// An inbox entry on a page. Reads columns by position from a fixed statement, which is faster (docs/performance.md,
/// "What profiles found").
struct Listed(InboxLine);

impl FromQueryResult for Listed {
    fn from_query_result(row: &QueryResult, _: &str) -> Result<Self, DbErr> {
        let conversation = Conversation {
            id: ConversationId(at(row, 0)?),
            peer_id: UserId(at(row, 1)?),
            last_message_id: at::<Option<Uuid>>(row, 2)?.map(MessageId),
            unread_count: at(row, 3)?,
        };
        let last_message = match at::<Option<Uuid>>(row, MESSAGE_AT)? {
            Some(_) => Some(messages::read(row, MESSAGE_AT)?),
            None => None,
        };
        Ok(Self(InboxLine { place: at(row, 4)?, conversation, last_message }))
    }
}

/// Index of the first column of an entry's newest message.
const MESSAGE_AT: usize = 5;

/// Assigns the next sequence number in the conversation of two users, if they have one.
pub async fn advance(db: &impl ConnectionTrait, one: UserId, other: UserId) -> Result<Option<Place>, Error> {
    let rows = Entity::update_many()
        .col_expr(Column::LastSequence, Expr::col(Column::LastSequence).add(1))
        .filter(Column::FirstUserId.eq(one.min(other).0))
        .filter(Column::SecondUserId.eq(one.max(other).0))
        .exec_with_returning(db)
        .await?;
    Ok(rows.first().map(|row| Place { id: ConversationId(row.id), sequence: row.last_sequence }))
}

/// Creates the conversation of two users, and assigns its first sequence number.
pub async fn insert(
    db: &impl ConnectionTrait,
    id: ConversationId,
    (one, other): (UserId, UserId),
    now: Timestamp,
) -> Result<Place, Error> {
    let row = ActiveModel {
        id: Set(id.0),
        first_user_id: Set(one.min(other).0),
        second_user_id: Set(one.max(other).0),
        created_at: Set(now),
        last_sequence: Set(1),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(Place { id, sequence: 1 })
}

/// Adds the members of a new conversation with its first message.
pub async fn insert_members(
    db: &impl ConnectionTrait,
    id: ConversationId,
    message_id: MessageId,
    arrivals: &[Arrival],
) -> Result<(), Error> {
    let rows = arrivals.iter().map(|arrival| MemberRow {
        conversation_id: Set(id.0),
        user_id: Set(arrival.user_id.0),
        peer_id: Set(arrival.peer_id.0),
        last_message_id: Set(Some(message_id.0)),
        last_event: Set(arrival.event),
        unread_count: Set(i64::from(arrival.is_unread)),
        read_sequence: Set(0),
    });
    Members::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Records a message's arrival for one member.
pub async fn update_member(
    db: &impl ConnectionTrait,
    id: ConversationId,
    message_id: MessageId,
    arrival: &Arrival,
) -> Result<(), Error> {
    Members::update_many()
        .col_expr(Member::LastMessageId, Expr::val(message_id.0))
        .col_expr(Member::LastEvent, Expr::val(arrival.event))
        .col_expr(Member::UnreadCount, Expr::col(Member::UnreadCount).add(i64::from(arrival.is_unread)))
        .filter(Member::ConversationId.eq(id.0))
        .filter(Member::UserId.eq(arrival.user_id.0))
        .exec(db)
        .await?;
    Ok(())
}

/// Records that a member has read `count` messages of a range. Returns the number still unread.
pub async fn mark_read(
    db: &impl ConnectionTrait,
    user_id: UserId,
    range: &SequenceRange,
    count: i64,
) -> Result<i64, Error> {
    let rows = Members::update_many()
        .col_expr(Member::ReadSequence, Expr::val(range.up_to))
        .col_expr(Member::UnreadCount, Expr::col(Member::UnreadCount).sub(count))
        .filter(Member::ConversationId.eq(range.conversation_id.0))
        .filter(Member::UserId.eq(user_id.0))
        .exec_with_returning(db)
        .await?;
    Ok(rows.first().map_or(0, |row| row.unread_count))
}

/// Updates a member's view of a conversation. The caller must hold the lock on the member's mailbox.
pub async fn update(db: &impl ConnectionTrait, user_id: UserId, conversation: &Conversation) -> Result<(), Error> {
    Members::update_many()
        .col_expr(Member::LastMessageId, Expr::val(conversation.last_message_id.map(|id| id.0)))
        .col_expr(Member::UnreadCount, Expr::val(conversation.unread_count))
        .filter(Member::ConversationId.eq(conversation.id.0))
        .filter(Member::UserId.eq(user_id.0))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns a page of the user's inbox, the conversation with the latest message first. Includes those messages if
/// `with_messages` is set.
pub async fn list(
    db: &impl ConnectionTrait,
    user_id: UserId,
    page: &Page<i64>,
    with_messages: bool,
) -> Result<Slice<InboxLine>, Error> {
    let (order, [below, above, limit]) = descending(page);
    let (columns, join) = if with_messages {
        let seen = messages::visible_to_first("m");
        (messages::COLUMNS, format!("LEFT JOIN messages m ON m.id = c.last_message_id AND {seen}"))
    } else {
        ("NULL", String::new())
    };
    let sql = format!(
        "SELECT c.conversation_id, c.peer_id, c.last_message_id, c.unread_count, c.last_event, {columns}
         FROM conversation_members c {join}
         WHERE c.user_id = $1 AND c.last_event < $2 AND c.last_event > $3 ORDER BY c.last_event {order} LIMIT $4"
    );
    let values = [user_id.0.into(), below, above, limit];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = Listed::find_by_statement(statement).all(db).await?;
    Ok(page.slice(rows.into_iter().map(|row| row.0).collect()))
}

/// Returns a conversation from the user's view, if the user is a member.
pub async fn find_share(
    db: &impl ConnectionTrait,
    user_id: UserId,
    id: ConversationId,
) -> Result<Option<Share>, Error> {
    let row = Members::find_by_id((id.0, user_id.0)).one(db).await?;
    Ok(row.map(|row| Share { conversation: conversation(&row), read_sequence: row.read_sequence }))
}

/// Returns the user's conversation with a peer.
pub async fn find_with(
    db: &impl ConnectionTrait,
    user_id: UserId,
    peer_id: UserId,
) -> Result<Option<Conversation>, Error> {
    let select = Members::find().filter(Member::UserId.eq(user_id.0)).filter(Member::PeerId.eq(peer_id.0));
    Ok(select.one(db).await?.as_ref().map(conversation))
}

/// Returns those of these conversations that the user is a member of, in any order.
pub async fn find_many(
    db: &impl ConnectionTrait,
    user_id: UserId,
    ids: &[ConversationId],
) -> Result<Vec<Conversation>, Error> {
    let select = Members::find()
        .filter(Member::UserId.eq(user_id.0))
        .filter(Member::ConversationId.is_in(ids.iter().map(|id| id.0)));
    Ok(select.all(db).await?.iter().map(conversation).collect())
}

fn conversation(row: &MemberModel) -> Conversation {
    Conversation {
        id: ConversationId(row.conversation_id),
        peer_id: UserId(row.peer_id),
        last_message_id: row.last_message_id.map(MessageId),
        unread_count: row.unread_count,
    }
}
