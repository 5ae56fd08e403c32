//! Messages, as far as their sender and recipient may see them.

use std::collections::HashMap;

use qv_entity::messages::{ActiveModel, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, DerivePartialModel, EntityTrait, ExprTrait,
    FromQueryResult, QueryFilter, QueryOrder, QueryResult, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use crate::domain::message::{MESSAGE_MAX_BYTES, PAGE_MAX_BYTES};
use crate::domain::{ConversationId, Direction, Message, MessageId, Page, Slice, Timestamp, UserId};
use crate::store::{Error, columns::at, page::descending};

/// A message from the view of its sender or recipient, deleted or not.
pub struct MessageView {
    /// Id of the message.
    pub id: MessageId,
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Sequence number in the conversation.
    pub sequence: i64,
    /// Whether this user has not deleted the message.
    pub is_shown: bool,
    /// Whether this user has yet to read the message.
    pub is_unread: bool,
    /// Ciphertext bytes that count towards this user's quota: none for a recipient, and none once deleted.
    pub stored_bytes: i64,
}

#[derive(DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct ViewRow {
    id: Uuid,
    conversation_id: Uuid,
    sequence: i64,
    sender_id: Uuid,
    recipient_id: Uuid,
    read_at: Option<Timestamp>,
    deleted_by_sender: bool,
    deleted_by_recipient: bool,
    #[sea_orm(from_expr = r#"Expr::cust("length(encrypted_content)")"#)]
    length: i32,
}

/// The columns that [`read`] reads, in its order.
pub(super) const COLUMNS: &str =
    "m.id, m.conversation_id, m.sequence, m.sender_id, m.recipient_id, m.client_message_id,
    m.encrypted_content, m.iv, m.created_at, m.read_at";

/// A message on a page. Reads columns by position from a fixed statement, which is faster (docs/performance.md, "What
/// profiles found").
struct Listed(Message);

impl FromQueryResult for Listed {
    fn from_query_result(row: &QueryResult, _: &str) -> Result<Self, DbErr> {
        read(row, 0).map(Self)
    }
}

/// Reads the message whose columns begin at `start`.
pub(super) fn read(row: &QueryResult, start: usize) -> Result<Message, DbErr> {
    Ok(Message {
        id: MessageId(at(row, start)?),
        conversation_id: ConversationId(at(row, start + 1)?),
        sequence: at(row, start + 2)?,
        sender_id: UserId(at(row, start + 3)?),
        recipient_id: UserId(at(row, start + 4)?),
        client_message_id: at(row, start + 5)?,
        encrypted_content: at(row, start + 6)?,
        iv: at(row, start + 7)?,
        created_at: at(row, start + 8)?,
        read_at: at(row, start + 9)?,
    })
}

/// A range of sequence numbers in a conversation.
pub struct SequenceRange {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Exclusive start of the range.
    pub after: i64,
    /// Inclusive end of the range.
    pub up_to: i64,
}

/// Ciphertext that one statement reads for many pages, in bytes.
const STATEMENT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Rows that a statement may read without a limit on their bytes: even the largest are within the limit.
const UNCHECKED_ROWS: u64 = (STATEMENT_MAX_BYTES / MESSAGE_MAX_BYTES) as u64;

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

/// Returns the message with this client message id of the sender, deleted or not.
pub async fn find_by_client_message_id(
    db: &impl ConnectionTrait,
    sender_id: UserId,
    client_message_id: &str,
) -> Result<Option<Message>, Error> {
    let select =
        Entity::find().filter(Column::SenderId.eq(sender_id.0)).filter(Column::ClientMessageId.eq(client_message_id));
    Ok(select.one(db).await?.map(message))
}

/// Returns those of these messages that the user may see, in any order.
pub async fn find_many(db: &impl ConnectionTrait, viewer: UserId, ids: &[MessageId]) -> Result<Vec<Message>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0))).filter(visible_to(viewer));
    Ok(select.all(db).await?.into_iter().map(message).collect())
}

/// Returns the ciphertext length in bytes of each of these messages that the user may see.
pub async fn find_lengths(
    db: &impl ConnectionTrait,
    viewer: UserId,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, usize>, Error> {
    let select = Entity::find().filter(Column::Id.is_in(ids.iter().map(|id| id.0))).filter(visible_to(viewer));
    let select = select.select_only().column(Column::Id).expr(Expr::cust("length(encrypted_content)"));
    let rows: Vec<(Uuid, i32)> = select.into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(id, length)| (MessageId(id), usize::try_from(length).unwrap_or_default())).collect())
}

/// Returns a page of a conversation's messages that the user may see, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    viewer: UserId,
    conversation_id: ConversationId,
    page: &Page<i64>,
) -> Result<Slice<Message>, Error> {
    let (order, [below, above, limit]) = descending(page);
    let sql = format!(
        "SELECT {COLUMNS} FROM messages m
         WHERE m.conversation_id = $2 AND {seen} AND m.sequence < $3 AND m.sequence > $4
         ORDER BY m.sequence {order} LIMIT $5",
        seen = visible_to_first("m"),
    );
    let values = [viewer.0.into(), conversation_id.0.into(), below, above, limit];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let rows = Listed::find_by_statement(statement).all(db).await?;
    Ok(slice(page, rows.into_iter().map(|row| row.0).collect(), PAGE_MAX_BYTES))
}

/// Cuts messages to a page of at most `max_bytes` of ciphertext.
fn slice(page: &Page<i64>, messages: Vec<Message>, max_bytes: usize) -> Slice<Message> {
    page.slice_within(messages, |message| message.encrypted_content.len(), max_bytes)
}

/// Returns the first or last page of several conversations, each in the order in which [`list`] reads rows.
///
/// One statement reads a range of each conversation's index.
pub async fn list_many(
    db: &impl ConnectionTrait,
    viewer: UserId,
    ids: &[ConversationId],
    page: &Page<i64>,
) -> Result<HashMap<ConversationId, Slice<Message>>, Error> {
    let (backend, direction, rows) = (db.get_database_backend(), page.direction, page.rows());
    let order = if direction == Direction::Forward { "DESC" } else { "ASC" };
    let end = |columns: &str, of: &str| {
        format!(
            "SELECT {columns} FROM messages {of} WHERE {of}.conversation_id = c.id AND {seen} ORDER BY {of}.sequence {order}",
            seen = visible_to_first(of)
        )
    };
    let mut values: Vec<Value> = vec![viewer.0.into(), i64::try_from(rows).unwrap_or(i64::MAX).into()];
    let uuids = ids.iter().map(|id| id.0);
    let sql = if backend == DbBackend::Postgres {
        values.push(uuids.collect::<Vec<_>>().into());
        format!("SELECT m.* FROM unnest($3::uuid[]) c (id) CROSS JOIN LATERAL ({} LIMIT $2) m", end(COLUMNS, "m"))
    } else {
        // SQLite has no LATERAL. A subquery finds the last row's sequence number, which then bounds the page.
        values.extend(uuids.map(Value::from));
        let places: Vec<_> = (3..=values.len()).map(|n| format!("${n}")).collect();
        let (reaches, from_end) = if direction == Direction::Forward { (">=", 0) } else { ("<=", i64::MAX) };
        format!(
            "SELECT {COLUMNS} FROM conversations c JOIN messages m ON m.conversation_id = c.id WHERE c.id IN ({}) AND {}
             AND m.sequence {reaches} coalesce(({} LIMIT 1 OFFSET $2 - 1), {from_end})",
            places.join(", "),
            visible_to_first("m"),
            end("it.sequence", "it")
        )
    };
    // Pages of many conversations get less than a single page.
    let max_bytes = (STATEMENT_MAX_BYTES / ids.len().next_power_of_two()).clamp(MESSAGE_MAX_BYTES, PAGE_MAX_BYTES);
    let is_checked = rows.saturating_mul(ids.len() as u64) > UNCHECKED_ROWS;
    let sql = if is_checked { within_bytes(&sql, order, max_bytes) } else { sql };
    let rows = Listed::find_by_statement(Statement::from_sql_and_values(backend, sql, values)).all(db).await?;
    let room = rows.len().div_ceil(ids.len().max(1));
    let mut pages: HashMap<_, Vec<_>> = ids.iter().map(|id| (*id, Vec::with_capacity(room))).collect();
    for Listed(message) in rows {
        pages.entry(message.conversation_id).or_default().push(message);
    }
    let sorted = |mut messages: Vec<Message>| {
        messages.sort_by_key(|it| if direction == Direction::Forward { -it.sequence } else { it.sequence });
        slice(page, messages, max_bytes)
    };
    Ok(pages.into_iter().map(|(id, messages)| (id, sorted(messages))).collect())
}

/// Limits the ciphertext of each page of a statement. The message that exceeds the limit is read as well: it
/// shows that another page exists.
fn within_bytes(sql: &str, order: &str, max_bytes: usize) -> String {
    format!(
        "SELECT {COLUMNS} FROM (
           SELECT m.*, sum(length(m.encrypted_content)) OVER (PARTITION BY m.conversation_id ORDER BY m.sequence {order})
             - length(m.encrypted_content) AS bytes_before
           FROM ({sql}) m
         ) m WHERE bytes_before <= {max_bytes}"
    )
}

/// Returns the newest message before a sequence number, of those that the user may see.
pub async fn find_before(
    db: &impl ConnectionTrait,
    viewer: UserId,
    conversation_id: ConversationId,
    sequence: i64,
) -> Result<Option<MessageId>, Error> {
    let select = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::ConversationId.eq(conversation_id.0))
        .filter(Column::Sequence.lt(sequence))
        .filter(visible_to(viewer))
        .order_by_desc(Column::Sequence)
        .limit(1);
    Ok(select.into_tuple::<Uuid>().one(db).await?.map(MessageId))
}

/// Locks these messages in the order of ids until the transaction ends. Returns the user's view of each, and leaves out
/// those of other users.
pub async fn lock(db: &impl ConnectionTrait, viewer: UserId, ids: &[MessageId]) -> Result<Vec<MessageView>, Error> {
    let select = Entity::find()
        .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
        .filter(Column::SenderId.eq(viewer.0).or(Column::RecipientId.eq(viewer.0)))
        .order_by_asc(Column::Id)
        .lock_exclusive();
    let rows = select.into_partial_model::<ViewRow>().all(db).await?;
    Ok(rows.iter().map(|row| view(row, viewer)).collect())
}

/// Marks the reader's incoming messages in a range as read, and returns their number. `is_deleted` selects those that
/// the reader has deleted, or else all others.
pub async fn mark_read(
    db: &impl ConnectionTrait,
    reader: UserId,
    range: &SequenceRange,
    is_deleted: bool,
    now: Timestamp,
) -> Result<i64, Error> {
    let update = Entity::update_many()
        .col_expr(Column::ReadAt, Expr::val(now))
        .filter(Column::ConversationId.eq(range.conversation_id.0))
        .filter(Column::Sequence.gt(range.after))
        .filter(Column::Sequence.lte(range.up_to))
        // Does not filter by recipient: that index leads through every message ever sent to the reader.
        .filter(Column::SenderId.ne(reader.0))
        .filter(Column::ReadAt.is_null())
        .filter(Column::DeletedByRecipient.eq(is_deleted));
    Ok(i64::try_from(update.exec(db).await?.rows_affected).unwrap_or(i64::MAX))
}

/// Returns the newest message to the reader up to the end of a range.
pub async fn find_newest_to(
    db: &impl ConnectionTrait,
    reader: UserId,
    range: &SequenceRange,
) -> Result<Option<MessageId>, Error> {
    let newest = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::ConversationId.eq(range.conversation_id.0))
        .filter(Column::Sequence.lte(range.up_to))
        .filter(Column::SenderId.ne(reader.0))
        .order_by_desc(Column::Sequence)
        .limit(1);
    Ok(newest.into_tuple::<Uuid>().one(db).await?.map(MessageId))
}

/// Deletes the user's views of these messages. Clears a message's ciphertext once both users have deleted it.
///
/// The row stays, so that its client message id remains taken.
pub async fn delete(db: &impl ConnectionTrait, viewer: UserId, ids: &[MessageId]) -> Result<(), Error> {
    let is_gone = |flag: Column, person: Column| flag.eq(true).or(person.eq(viewer.0));
    let by_sender = is_gone(Column::DeletedBySender, Column::SenderId);
    let by_recipient = is_gone(Column::DeletedByRecipient, Column::RecipientId);
    let by_both = by_sender.clone().and(by_recipient.clone());
    let unless_gone = |bytes: Column| -> SimpleExpr {
        Expr::case(by_both.clone(), Expr::val(Vec::<u8>::new())).finally(Expr::col(bytes)).into()
    };
    Entity::update_many()
        .col_expr(Column::EncryptedContent, unless_gone(Column::EncryptedContent))
        .col_expr(Column::Iv, unless_gone(Column::Iv))
        .col_expr(Column::DeletedBySender, by_sender)
        .col_expr(Column::DeletedByRecipient, by_recipient)
        .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the SQL condition for messages that the user in the statement's `$1` may see.
///
/// Uses CASE, which no index serves. With OR, planners scan every message that the user ever sent or received.
pub(super) fn visible_to_first(it: &str) -> String {
    format!(
        "CASE WHEN {it}.sender_id = $1 AND NOT {it}.deleted_by_sender THEN true
           ELSE {it}.recipient_id = $1 AND NOT {it}.deleted_by_recipient END"
    )
}

/// Returns the condition of [`visible_to_first`] for any user, for statements of the query builder.
fn visible_to(viewer: UserId) -> Condition {
    let is_sent = Column::SenderId.eq(viewer.0).and(Column::DeletedBySender.eq(false));
    let is_received = Column::RecipientId.eq(viewer.0).and(Column::DeletedByRecipient.eq(false));
    let is_seen: SimpleExpr = Expr::case(is_sent, true).finally(is_received).into();
    Condition::all().add(is_seen)
}

fn view(row: &ViewRow, holder: UserId) -> MessageView {
    let (is_sender, is_recipient) = (row.sender_id == holder.0, row.recipient_id == holder.0);
    MessageView {
        id: MessageId(row.id),
        conversation_id: ConversationId(row.conversation_id),
        sequence: row.sequence,
        is_shown: is_sender && !row.deleted_by_sender || is_recipient && !row.deleted_by_recipient,
        is_unread: is_recipient && !is_sender && row.read_at.is_none(),
        stored_bytes: if is_sender && !row.deleted_by_sender { row.length.into() } else { 0 },
    }
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
