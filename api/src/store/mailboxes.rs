//! Mailboxes: the events of a user's messages, numbered in commit order.

use qv_entity::mailbox_events::{ActiveModel, Column, Entity, Model};
use qv_entity::mailboxes;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::config::Quotas;
use crate::domain::{FeedEventKind, MessageId, Quota, Timestamp, UserId};
use crate::store::Error;

/// A user's mailbox.
pub struct Mailbox {
    /// Owner of the mailbox.
    pub user_id: UserId,
    /// Sequence number of the latest event.
    pub last_sequence: i64,
    /// Sequence number of the first event that retention has kept.
    pub oldest_sequence: i64,
    /// Number of messages that the user has yet to read.
    pub unread_count: i64,
    /// Ciphertext bytes of the messages that the user has sent and not deleted.
    pub stored_bytes: i64,
}

/// An event to record in a mailbox.
pub struct NewEvent {
    /// Owner of the mailbox.
    pub user_id: UserId,
    /// Sequence number of the event in the mailbox.
    pub sequence: i64,
    /// Kind of the event.
    pub kind: FeedEventKind,
    /// Message that the event is about.
    pub message_id: MessageId,
}

/// A stored event.
pub struct StoredEvent {
    /// Sequence number of the event in the mailbox.
    pub sequence: i64,
    /// Kind of the event.
    pub kind: FeedEventKind,
    /// Message that the event is about.
    pub message_id: MessageId,
}

/// Creates the mailbox of a new user.
pub async fn insert(db: &impl ConnectionTrait, user_id: UserId) -> Result<(), Error> {
    let row = mailboxes::ActiveModel {
        user_id: Set(user_id.0),
        last_sequence: Set(0),
        oldest_sequence: Set(1),
        unread_count: Set(0),
        stored_bytes: Set(0),
        sent_day: Set(0),
        sent_bytes_today: Set(0),
    };
    mailboxes::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns a user's mailbox.
pub async fn find(db: &impl ConnectionTrait, user_id: UserId) -> Result<Option<Mailbox>, Error> {
    Ok(mailboxes::Entity::find_by_id(user_id.0).one(db).await?.as_ref().map(mailbox))
}

/// Locks mailboxes until the transaction ends, in the order of user ids, which all transactions follow.
///
/// Until then no other transaction adds events to these mailboxes, or changes their counts or their owners' inbox
/// entries.
pub async fn lock(db: &impl ConnectionTrait, user_ids: &[UserId]) -> Result<Vec<Mailbox>, Error> {
    let select = mailboxes::Entity::find()
        .filter(mailboxes::Column::UserId.is_in(user_ids.iter().map(|id| id.0)))
        .order_by_asc(mailboxes::Column::UserId)
        .lock_exclusive();
    Ok(select.all(db).await?.iter().map(mailbox).collect())
}

/// Appends an event for each of these messages to a locked mailbox, and stores the mailbox's counts.
pub async fn append(
    db: &impl ConnectionTrait,
    mailbox: Mailbox,
    kind: FeedEventKind,
    message_ids: &[MessageId],
    now: Timestamp,
) -> Result<(), Error> {
    let user_id = mailbox.user_id;
    let places = mailbox.last_sequence + 1..;
    let events = places.zip(message_ids).map(|(sequence, id)| NewEvent { user_id, sequence, kind, message_id: *id });
    record(db, events, now).await?;
    let taken = i64::try_from(message_ids.len()).unwrap_or(i64::MAX);
    mailboxes::Entity::update_many()
        .col_expr(mailboxes::Column::LastSequence, Expr::val(mailbox.last_sequence + taken))
        .col_expr(mailboxes::Column::UnreadCount, Expr::val(mailbox.unread_count))
        .col_expr(mailboxes::Column::StoredBytes, Expr::val(mailbox.stored_bytes))
        .filter(mailboxes::Column::UserId.eq(user_id.0))
        .exec(db)
        .await?;
    Ok(())
}

/// Assigns the next sequence number in a recipient's mailbox, and raises the unread count. SQLite only.
pub async fn advance_recipient(db: &impl ConnectionTrait, user_id: UserId) -> Result<i64, Error> {
    let rows = mailboxes::Entity::update_many()
        .col_expr(mailboxes::Column::LastSequence, Expr::col(mailboxes::Column::LastSequence).add(1))
        .col_expr(mailboxes::Column::UnreadCount, Expr::col(mailboxes::Column::UnreadCount).add(1))
        .filter(mailboxes::Column::UserId.eq(user_id.0))
        .exec_with_returning(db)
        .await?;
    Ok(rows.first().ok_or_else(|| no_mailbox(user_id))?.last_sequence)
}

/// Assigns the next sequence number in a sender's mailbox, and counts the bytes that the sender sends on a day. SQLite
/// only.
///
/// Fails with [`Error::QuotaExceeded`] and writes nothing if that would exceed a quota.
pub async fn advance_sender(
    db: &impl ConnectionTrait,
    user_id: UserId,
    (bytes, day): (i64, i32),
    quotas: &Quotas,
) -> Result<i64, Error> {
    use mailboxes::Column::{LastSequence, SentBytesToday, SentDay, StoredBytes, UserId};

    let stored: SimpleExpr = Expr::col(StoredBytes).add(bytes);
    // The clock may have been set back over midnight. The count of the next day then continues.
    let sent_before: SimpleExpr =
        Expr::case(SentDay.is_in([day, day + 1]), Expr::col(SentBytesToday)).finally(0_i64).into();
    let sent = sent_before.add(bytes);
    let sent_day: SimpleExpr = Expr::case(SentDay.eq(day + 1), day + 1).finally(day).into();
    let rows = mailboxes::Entity::update_many()
        .col_expr(LastSequence, Expr::col(LastSequence).add(1))
        .col_expr(StoredBytes, stored.clone())
        .col_expr(SentDay, sent_day)
        .col_expr(SentBytesToday, sent.clone())
        .filter(UserId.eq(user_id.0))
        .filter(stored.clone().lte(quotas.stored_bytes_per_user))
        .filter(sent.lte(quotas.sent_bytes_per_day))
        .exec_with_returning(db)
        .await?;
    if let Some(row) = rows.first() {
        return Ok(row.last_sequence);
    }
    let mailbox = find(db, user_id).await?.ok_or_else(|| no_mailbox(user_id))?;
    let is_full = mailbox.stored_bytes + bytes > quotas.stored_bytes_per_user;
    Err(Error::QuotaExceeded(if is_full { Quota::Stored } else { Quota::SentToday }))
}

/// Records events in one statement.
pub async fn record(
    db: &impl ConnectionTrait,
    events: impl IntoIterator<Item = NewEvent>,
    now: Timestamp,
) -> Result<(), Error> {
    let rows = events.into_iter().map(|event| ActiveModel {
        user_id: Set(event.user_id.0),
        sequence: Set(event.sequence),
        kind: Set(event.kind.as_str().to_owned()),
        message_id: Set(event.message_id.0),
        created_at: Set(now),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Returns up to `limit` events after a sequence number, in order.
pub async fn find_after(
    db: &impl ConnectionTrait,
    user_id: UserId,
    sequence: i64,
    limit: u64,
) -> Result<Vec<StoredEvent>, Error> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user_id.0))
        .filter(Column::Sequence.gt(sequence))
        .order_by_asc(Column::Sequence)
        .limit(limit)
        .all(db)
        .await?;
    rows.iter().map(stored).collect()
}

fn no_mailbox(user_id: UserId) -> DbErr {
    DbErr::RecordNotFound(format!("mailbox of {user_id}"))
}

fn mailbox(row: &mailboxes::Model) -> Mailbox {
    Mailbox {
        user_id: UserId(row.user_id),
        last_sequence: row.last_sequence,
        oldest_sequence: row.oldest_sequence,
        unread_count: row.unread_count,
        stored_bytes: row.stored_bytes,
    }
}

fn stored(row: &Model) -> Result<StoredEvent, Error> {
    // CAUGHT_UP and GAP are sent to clients but never stored.
    let kind =
        FeedEventKind::parse(&row.kind).filter(|kind| !matches!(kind, FeedEventKind::CaughtUp | FeedEventKind::Gap));
    let kind = kind.ok_or_else(|| DbErr::Type(format!("mailbox_events.kind {}", row.kind)))?;
    Ok(StoredEvent { sequence: row.sequence, kind, message_id: MessageId(row.message_id) })
}
