//! Deliveries: one message written everywhere it shows, in one transaction.
//!
//! Whoever delivers holds the mailboxes of both members from its first write to its commit, taken in the order of user
//! ids. Everything else follows in one order, so no two deliveries wait for each other in a circle.

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement};

use super::{
    Error, Store, Unique,
    conversations::{self, Arrival},
    mailboxes::{self, NewEvent},
    messages, users,
};
use crate::domain::{Conversation, ConversationId, FeedEventKind, Message, MessageId, Timestamp, UserId};

/// A message on its way.
pub struct Delivery {
    /// Its id.
    pub id: MessageId,
    /// The id of the conversation that begins with it, if it is the first between these two.
    pub new_conversation_id: ConversationId,
    /// Who writes.
    pub sender_id: UserId,
    /// Whom it is for.
    pub recipient_id: UserId,
    /// The sender's own id of it.
    pub client_message_id: String,
    /// The ciphertext.
    pub encrypted_content: Vec<u8>,
    /// Its initialisation vector.
    pub iv: Vec<u8>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Writes a message, its events in both mailboxes and the members' lines of their inboxes.
///
/// `None`, with nothing written, when the recipient takes no messages or the sender has used the client id before.
pub async fn deliver(store: &Store, delivery: &Delivery) -> Result<Option<(Message, Conversation)>, Error> {
    let placed = match store.db().get_database_backend() {
        DbBackend::Postgres => deliver_at_once(store, delivery).await,
        _ => deliver_by_steps(store, delivery).await,
    };
    match placed {
        Ok(placed) => Ok(placed.map(|placed| placed.of(delivery))),
        // Two requests with one client id passed the check together; the other has won.
        Err(Error::Taken(Unique::ClientMessageId)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a delivered message has got its place.
#[derive(FromQueryResult)]
struct Placed {
    conversation_id: uuid::Uuid,
    sequence: i64,
    /// The sender's unread messages there.
    unread_count: i64,
}

impl Placed {
    fn of(&self, delivery: &Delivery) -> (Message, Conversation) {
        let conversation_id = ConversationId(self.conversation_id);
        let message = Message {
            id: delivery.id,
            conversation_id,
            sequence: self.sequence,
            sender_id: delivery.sender_id,
            recipient_id: delivery.recipient_id,
            client_message_id: delivery.client_message_id.clone(),
            encrypted_content: delivery.encrypted_content.clone(),
            iv: delivery.iv.clone(),
            created_at: delivery.created_at,
            read_at: None,
        };
        let conversation = Conversation {
            id: conversation_id,
            peer_id: delivery.recipient_id,
            last_message_id: Some(delivery.id),
            unread_count: self.unread_count,
        };
        (message, conversation)
    }
}

/// The whole delivery in one round trip.
///
/// Parts of one statement see what was committed before it, and rows that they update as they are by then. Each part
/// reads from the part that must come before it, which is what gives them an order: `one` and `other` are the two
/// mailboxes in the order of user ids, and `other` is empty for a note to oneself.
const DELIVER: &str = "
WITH one AS (
  UPDATE mailboxes SET last_sequence = last_sequence + 1, unread_count = unread_count + $9
  WHERE user_id = $1
    AND EXISTS (SELECT FROM users WHERE id = $4 AND is_active)
    AND NOT EXISTS (SELECT FROM messages WHERE sender_id = $3 AND client_message_id = $7)
  RETURNING user_id, last_sequence, $9 AS unread
), other AS (
  UPDATE mailboxes SET last_sequence = last_sequence + 1, unread_count = unread_count + $10
  WHERE user_id = $2 AND $2 <> $1 AND EXISTS (SELECT FROM one)
  RETURNING user_id, last_sequence, $10 AS unread
), places AS (
  SELECT user_id, $2 AS peer_id, last_sequence, unread FROM one
  UNION ALL SELECT user_id, $1, last_sequence, unread FROM other
), place AS (
  INSERT INTO conversations AS it (id, first_user_id, second_user_id, created_at, last_sequence)
  SELECT $6, $1, $2, $11, 1 WHERE (SELECT count(*) FROM places) > 0
  ON CONFLICT (first_user_id, second_user_id) DO UPDATE SET last_sequence = it.last_sequence + 1
  RETURNING id, last_sequence
), members AS (
  INSERT INTO conversation_members AS it
    (conversation_id, user_id, peer_id, last_message_id, last_event, unread_count, read_sequence)
  SELECT place.id, user_id, peer_id, $5, places.last_sequence, unread, 0 FROM place, places
  ON CONFLICT (conversation_id, user_id) DO UPDATE SET last_message_id = excluded.last_message_id,
    last_event = excluded.last_event, unread_count = it.unread_count + excluded.unread_count
  RETURNING user_id, unread_count
), message AS (
  INSERT INTO messages (id, conversation_id, sequence, sender_id, recipient_id, client_message_id,
    encrypted_content, iv, created_at, deleted_by_sender, deleted_by_recipient)
  SELECT $5, id, last_sequence, $3, $4, $7, $8, $12, $11, false, false FROM place
), events AS (
  INSERT INTO mailbox_events (user_id, sequence, kind, message_id, created_at)
  SELECT user_id, last_sequence, 'SENT', $5, $11 FROM places
)
SELECT place.id AS conversation_id, place.last_sequence AS sequence, members.unread_count
FROM place, members WHERE members.user_id = $3";

async fn deliver_at_once(store: &Store, delivery: &Delivery) -> Result<Option<Placed>, Error> {
    let (one, other) = members(delivery);
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        DELIVER,
        [
            one.0.into(),
            other.0.into(),
            delivery.sender_id.0.into(),
            delivery.recipient_id.0.into(),
            delivery.id.0.into(),
            delivery.new_conversation_id.0.into(),
            delivery.client_message_id.as_str().into(),
            delivery.encrypted_content.as_slice().into(),
            i64::from(is_unread(delivery, one)).into(),
            i64::from(is_unread(delivery, other)).into(),
            delivery.created_at.into(),
            delivery.iv.as_slice().into(),
        ],
    );
    Ok(Placed::find_by_statement(statement).one(store.db()).await?)
}

/// The same by single statements, for SQLite: it runs in this process, and writes in one part of a statement only.
async fn deliver_by_steps(store: &Store, delivery: &Delivery) -> Result<Option<Placed>, Error> {
    let tx = store.begin().await?;
    if !may_deliver(tx.db(), delivery).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    let placed = write(tx.db(), delivery).await?;
    tx.commit().await?;
    Ok(Some(placed))
}

async fn may_deliver(db: &impl ConnectionTrait, delivery: &Delivery) -> Result<bool, Error> {
    let recipient = users::find_many(db, &[delivery.recipient_id]).await?;
    if !recipient.iter().any(|user| user.is_active) {
        return Ok(false);
    }
    let id = &delivery.client_message_id;
    Ok(messages::find_by_client_message_id(db, delivery.sender_id, id).await?.is_none())
}

async fn write(db: &impl ConnectionTrait, delivery: &Delivery) -> Result<Placed, Error> {
    let (one, other) = members(delivery);
    let mut arrivals = Vec::with_capacity(2);
    for (user_id, peer_id) in [(one, other), (other, one)].into_iter().take(if one == other { 1 } else { 2 }) {
        let is_unread = is_unread(delivery, user_id);
        let event = mailboxes::advance(db, user_id, is_unread).await?;
        arrivals.push(Arrival { user_id, peer_id, event, is_unread });
    }
    let place = if let Some(place) = conversations::advance(db, one, other).await? {
        for arrival in &arrivals {
            conversations::update_member(db, place.id, delivery.id, arrival).await?;
        }
        place
    } else {
        let id = delivery.new_conversation_id;
        let place = conversations::insert(db, id, (one, other), delivery.created_at).await?;
        conversations::insert_members(db, id, delivery.id, &arrivals).await?;
        place
    };
    let kept = conversations::find_with(db, delivery.sender_id, delivery.recipient_id).await?;
    let unread_count = kept.map_or(0, |conversation| conversation.unread_count);
    let placed = Placed { conversation_id: place.id.0, sequence: place.sequence, unread_count };
    messages::insert(db, &placed.of(delivery).0).await?;
    let events = arrivals.iter().map(|arrival| NewEvent {
        user_id: arrival.user_id,
        sequence: arrival.event,
        kind: FeedEventKind::Sent,
        message_id: delivery.id,
    });
    mailboxes::record(db, events, delivery.created_at).await?;
    Ok(placed)
}

fn members(delivery: &Delivery) -> (UserId, UserId) {
    let (sender_id, recipient_id) = (delivery.sender_id, delivery.recipient_id);
    (sender_id.min(recipient_id), sender_id.max(recipient_id))
}

/// Whether a member has the message still to read: not one's own.
fn is_unread(delivery: &Delivery, member: UserId) -> bool {
    member == delivery.recipient_id && member != delivery.sender_id
}
