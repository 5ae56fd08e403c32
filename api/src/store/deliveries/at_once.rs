//! For PostgreSQL: one statement, and so one round trip and one commit, however many messages.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};

use super::{Delivery, Placed};
use crate::store::Error;

/// Parts of one statement see what was committed before it, and rows that they update as they are by then. Each part
/// reads from the part that must come before it, which is what gives them an order: what is asked and allowed, the
/// mailboxes taken in the order of user ids, then all that is written under them.
///
/// `nth` counts a message among those of its pair, and an arrival among those of its mailbox; `of` is how many the pair has.
const DELIVER: &str = "
WITH asked AS MATERIALIZED (
  SELECT *, row_number() OVER pair AS nth, count(*) OVER (PARTITION BY one, other) AS of
  FROM (
    SELECT *, least(sender_id, recipient_id) AS one, greatest(sender_id, recipient_id) AS other
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], $8::timestamptz[])
      WITH ORDINALITY AS it (id, new_conversation_id, sender_id, recipient_id, client_message_id, encrypted_content, iv,
        created_at, n)
  ) it
  WHERE EXISTS (SELECT FROM users WHERE users.id = it.recipient_id AND is_active)
    AND NOT EXISTS (
      SELECT FROM messages m WHERE m.sender_id = it.sender_id AND m.client_message_id = it.client_message_id)
  WINDOW pair AS (PARTITION BY one, other ORDER BY n)
), arrivals AS MATERIALIZED (
  SELECT id, one, other, created_at, nth = of AS is_last, user_id, peer_id, is_unread,
    row_number() OVER (PARTITION BY user_id ORDER BY n) AS nth,
    count(*) FILTER (WHERE is_unread) OVER (PARTITION BY user_id, peer_id) AS unread
  FROM asked CROSS JOIN LATERAL (
    SELECT sender_id, recipient_id, false
    UNION ALL SELECT recipient_id, sender_id, true WHERE recipient_id <> sender_id
  ) side (user_id, peer_id, is_unread)
), held AS MATERIALIZED (
  SELECT user_id FROM mailboxes WHERE user_id IN (SELECT user_id FROM arrivals) ORDER BY user_id FOR NO KEY UPDATE
), moved AS (
  UPDATE mailboxes AS it SET last_sequence = last_sequence + arrived, unread_count = unread_count + unread
  FROM (
    SELECT user_id, count(*) AS arrived, count(*) FILTER (WHERE is_unread) AS unread FROM arrivals GROUP BY user_id
  ) new
  WHERE it.user_id = new.user_id AND (SELECT count(*) FROM held) > 0
  RETURNING it.user_id, last_sequence - arrived AS before
), places AS (
  INSERT INTO conversations AS it (id, first_user_id, second_user_id, created_at, last_sequence)
  SELECT new_conversation_id, one, other, created_at, of FROM asked
  WHERE nth = of AND (SELECT count(*) FROM moved) > 0
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
  FROM asked JOIN places USING (one, other)
), events AS (
  INSERT INTO mailbox_events (user_id, sequence, kind, message_id, created_at)
  SELECT user_id, before + nth, 'SENT', id, created_at FROM arrivals JOIN moved USING (user_id)
)
SELECT id AS message_id, conversation_id, last_sequence - of + nth AS sequence, last_message_id, unread_count
FROM asked JOIN places USING (one, other) JOIN members USING (conversation_id, sender_id)";

pub(super) async fn write(db: &impl ConnectionTrait, deliveries: &[Arc<Delivery>]) -> Result<Vec<Placed>, Error> {
    let values = [
        column(deliveries, |it| it.id.0),
        column(deliveries, |it| it.new_conversation_id.0),
        column(deliveries, |it| it.sender_id.0),
        column(deliveries, |it| it.recipient_id.0),
        column(deliveries, |it| it.client_message_id.clone()),
        column(deliveries, |it| it.encrypted_content.clone()),
        column(deliveries, |it| it.iv.clone()),
        column(deliveries, |it| it.created_at),
    ];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, DELIVER, values);
    Ok(Placed::find_by_statement(statement).all(db).await?)
}

/// What one column has of each.
fn column<T>(deliveries: &[Arc<Delivery>], of: impl Fn(&Delivery) -> T) -> Value
where
    Vec<T>: Into<Value>,
{
    deliveries.iter().map(|it| of(it)).collect::<Vec<_>>().into()
}
