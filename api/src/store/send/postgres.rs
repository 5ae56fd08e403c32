//! Delivery on PostgreSQL: one statement, and so one round trip and one commit, for any number of messages.

use std::sync::{Arc, LazyLock};

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::config::Quotas;
use crate::domain::{ConversationId, MessageId, Quota};
use crate::store::Error;
use crate::store::send::delivery::{Answer, Delivery, Placed};

/// Statement that delivers messages.
///
/// All parts of the statement see data as committed before it started. Rows that they lock or update appear in their
/// latest version. Each part reads from the part that must run before it, which fixes their order. First come the
/// permitted messages, then the mailbox locks in the order of user ids, then all writes.
///
/// The part `held` selects mailboxes by an array. After waiting for a row, PostgreSQL checks the row's condition again.
/// A join with another part would then find no match.
///
/// `copy` numbers the repeats of a message. `nth` numbers a message within its pair of users, or an arrival within its
/// mailbox. `of` is the number of messages of the pair.
///
/// `room` and `room_today` are the bytes that a sender may still store, and still send on that day. A larger message
/// exceeds a quota. `total` adds up the sender's other messages, in their order. A message that fits, but not after
/// those before it, is retried: of these, too, some are not written. So quotas are exact to the byte.
///
/// All messages of a round count on the day of the newest one. If another node's clock has already begun the next day,
/// they count on that day.
const DELIVER: &str = "
WITH asked AS MATERIALIZED (
  SELECT *, least(sender_id, recipient_id) AS one, greatest(sender_id, recipient_id) AS other,
    length(encrypted_content) AS bytes, row_number() OVER (PARTITION BY sender_id, client_message_id ORDER BY n) AS copy
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], $8::timestamptz[],
    $9::uuid[])
    WITH ORDINALITY AS it (id, new_conversation_id, sender_id, recipient_id, client_message_id, encrypted_content, iv,
      created_at, session_id, n)
  WHERE EXISTS (SELECT FROM users WHERE users.id = it.recipient_id AND is_active)
    AND EXISTS (SELECT FROM sessions s WHERE s.id = it.session_id AND s.user_id = it.sender_id FOR KEY SHARE)
    AND NOT EXISTS (
      SELECT FROM messages m WHERE m.sender_id = it.sender_id AND m.client_message_id = it.client_message_id)
), held AS MATERIALIZED (
  SELECT user_id, $10::bigint - stored_bytes AS room,
    $11::bigint - CASE WHEN sent_day IN ($12::int, $12::int + 1) THEN sent_bytes_today ELSE 0 END AS room_today,
    CASE WHEN sent_day = $12::int + 1 THEN sent_day ELSE $12::int END AS day
  FROM mailboxes WHERE user_id = ANY (ARRAY(SELECT one FROM asked UNION ALL SELECT other FROM asked))
  ORDER BY user_id FOR NO KEY UPDATE
), weighed AS MATERIALIZED (
  SELECT asked.*, room, room_today,
    sum(bytes) FILTER (WHERE bytes <= room AND bytes <= room_today) OVER (PARTITION BY sender_id ORDER BY n) AS total
  FROM asked JOIN held ON user_id = sender_id
  WHERE copy = 1 AND recipient_id IN (SELECT user_id FROM held)
), taken AS MATERIALIZED (
  SELECT *, row_number() OVER pair AS nth, count(*) OVER (PARTITION BY one, other) AS of
  FROM weighed
  WHERE bytes <= room AND bytes <= room_today AND total <= room AND total <= room_today
  WINDOW pair AS (PARTITION BY one, other ORDER BY n)
), arrivals AS MATERIALIZED (
  SELECT id, one, other, created_at, bytes, nth = of AS is_last, user_id, peer_id, is_unread,
    row_number() OVER (PARTITION BY user_id ORDER BY n) AS nth,
    count(*) FILTER (WHERE is_unread) OVER (PARTITION BY user_id, peer_id) AS unread
  FROM taken CROSS JOIN LATERAL (
    SELECT sender_id, recipient_id, false
    UNION ALL SELECT recipient_id, sender_id, true WHERE recipient_id <> sender_id
  ) side (user_id, peer_id, is_unread)
), moved AS (
  UPDATE mailboxes AS it SET last_sequence = last_sequence + arrived, unread_count = unread_count + unread,
    stored_bytes = stored_bytes + sent, sent_day = day, sent_bytes_today = $11::bigint - room_today + sent
  FROM (
    SELECT user_id, count(*) AS arrived, count(*) FILTER (WHERE is_unread) AS unread,
      coalesce(sum(bytes) FILTER (WHERE NOT is_unread), 0) AS sent
    FROM arrivals GROUP BY user_id
  ) new JOIN held USING (user_id)
  WHERE it.user_id = new.user_id
  RETURNING it.user_id, last_sequence - arrived AS before
), places AS (
  INSERT INTO conversations AS it (id, first_user_id, second_user_id, created_at, last_sequence)
  SELECT new_conversation_id, one, other, created_at, of FROM taken
  WHERE nth = 1 AND (SELECT count(*) FROM moved) > 0
  ON CONFLICT (first_user_id, second_user_id) DO UPDATE SET last_sequence = it.last_sequence + excluded.last_sequence
  RETURNING id AS conversation_id, first_user_id AS one, second_user_id AS other, last_sequence
), members AS (
  INSERT INTO conversation_members AS it
    (conversation_id, user_id, peer_id, last_message_id, last_event, unread_count, read_sequence)
  SELECT conversation_id, user_id, peer_id, id, before + nth, unread, 0
  FROM arrivals JOIN moved USING (user_id) JOIN places USING (one, other) WHERE is_last
  ON CONFLICT (conversation_id, user_id) DO UPDATE SET last_message_id = excluded.last_message_id,
    last_event = excluded.last_event, unread_count = it.unread_count + excluded.unread_count
  RETURNING conversation_id, user_id AS sender_id, last_message_id, unread_count
), written AS (
  INSERT INTO messages (id, conversation_id, sequence, sender_id, recipient_id, client_message_id,
    encrypted_content, iv, created_at, deleted_by_sender, deleted_by_recipient)
  SELECT id, conversation_id, last_sequence - of + nth, sender_id, recipient_id, client_message_id,
    encrypted_content, iv, created_at, false, false
  FROM taken JOIN places USING (one, other)
), events AS (
  INSERT INTO mailbox_events (user_id, sequence, kind, message_id, created_at)
  SELECT user_id, before + nth, 'SENT', id, created_at FROM arrivals JOIN moved USING (user_id)
)
SELECT id AS message_id, conversation_id, last_sequence - of + nth AS sequence, last_message_id, unread_count,
  NULL AS exceeded
FROM taken JOIN places USING (one, other) JOIN members USING (conversation_id, sender_id)
UNION ALL SELECT asked.id, NULL, NULL, NULL, NULL,
  CASE WHEN asked.bytes > room THEN 'stored' WHEN asked.bytes > room_today THEN 'sent_today' END
FROM asked LEFT JOIN weighed USING (id) WHERE id NOT IN (SELECT id FROM taken)";

/// Variant of [`DELIVER`] that skips messages whose mailboxes are locked. Waiting for those would block the senders
/// whose mailboxes the statement already holds.
///
/// This variant never waits, so it sees the session's current state and needs no lock on the session's row.
static DELIVER_WHAT_IS_FREE: LazyLock<String> = LazyLock::new(|| {
    DELIVER.replace("FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED").replace(" FOR KEY SHARE", "")
});

/// Writes the deliveries whose mailboxes are free.
pub(super) async fn write_free(
    db: &impl ConnectionTrait,
    quotas: &Quotas,
    deliveries: &[Arc<Delivery>],
) -> Result<Vec<Row>, Error> {
    run(db, &DELIVER_WHAT_IS_FREE, quotas, deliveries).await
}

/// Writes one delivery, and waits for its mailboxes if necessary.
pub(super) async fn write(
    db: &impl ConnectionTrait,
    quotas: &Quotas,
    delivery: &Arc<Delivery>,
) -> Result<Vec<Row>, Error> {
    run(db, DELIVER, quotas, std::slice::from_ref(delivery)).await
}

/// A message that may be sent. Has neither a position nor an exceeded quota if the message must be retried.
#[derive(FromQueryResult)]
pub(super) struct Row {
    message_id: Uuid,
    conversation_id: Option<Uuid>,
    sequence: Option<i64>,
    last_message_id: Option<Uuid>,
    unread_count: Option<i64>,
    /// A [`Quota`].
    exceeded: Option<String>,
}

impl Row {
    pub(super) fn is_of(&self, delivery: &Delivery) -> bool {
        self.message_id == delivery.id.0
    }

    /// Returns the answer to the sender, or `None` if the message must be retried.
    pub(super) fn answer(&self) -> Option<Answer> {
        let exceeded = self.exceeded.as_deref().and_then(Quota::parse);
        exceeded.map(|quota| Err(Error::QuotaExceeded(quota))).or_else(|| Some(Ok(Some(self.placed()?))))
    }

    fn placed(&self) -> Option<Placed> {
        Some(Placed {
            conversation_id: ConversationId(self.conversation_id?),
            sequence: self.sequence?,
            last_message_id: self.last_message_id.map(MessageId),
            unread_count: self.unread_count?,
        })
    }
}

async fn run(
    db: &impl ConnectionTrait,
    sql: &str,
    quotas: &Quotas,
    deliveries: &[Arc<Delivery>],
) -> Result<Vec<Row>, Error> {
    let day = deliveries.iter().map(|it| it.day()).max();
    let values = [
        column(deliveries, |it| it.id.0),
        column(deliveries, |it| it.new_conversation_id.0),
        column(deliveries, |it| it.sender_id.0),
        column(deliveries, |it| it.recipient_id.0),
        column(deliveries, |it| it.client_message_id.clone()),
        column(deliveries, |it| it.encrypted_content.clone()),
        column(deliveries, |it| it.iv.clone()),
        column(deliveries, |it| it.created_at),
        column(deliveries, |it| it.session_id.0),
        quotas.stored_bytes_per_user.into(),
        quotas.sent_bytes_per_day.into(),
        day.into(),
    ];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
    Ok(Row::find_by_statement(statement).all(db).await?)
}

/// Returns the values of one column for all deliveries.
fn column<T>(deliveries: &[Arc<Delivery>], of: impl Fn(&Delivery) -> T) -> Value
where
    Vec<T>: Into<Value>,
{
    deliveries.iter().map(|it| of(it)).collect::<Vec<_>>().into()
}
