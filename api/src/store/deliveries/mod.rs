//! Deliveries: messages written everywhere they show.
//!
//! Whoever delivers holds the mailboxes of both members of each message from its first write to its commit, taken in the
//! order of user ids. Everything else is written under them, so no two deliveries wait for each other in a circle.

mod at_once;
mod by_steps;
mod queue;

use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult};

pub(super) use self::queue::Queue;
use super::{Error, Store, Unique};
use crate::domain::{Conversation, ConversationId, Message, MessageId, Timestamp, UserId};

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
pub async fn deliver(store: &Store, delivery: &Arc<Delivery>) -> Result<Option<(Message, Conversation)>, Error> {
    let placed = match store.deliveries.enter(Arc::clone(delivery)).await? {
        queue::Turn::Over(placed) => placed,
        queue::Turn::Ours(round) => round.run(|deliveries| write_each(store, deliveries)).await,
    };
    Ok(placed?.map(|placed| placed.of(delivery)))
}

type Answer = Result<Option<Placed>, Error>;

/// Writes some together, and each by itself where one of them has failed all.
async fn write_each(store: &Store, deliveries: Vec<Arc<Delivery>>) -> Vec<Answer> {
    match write(store, &deliveries).await {
        Ok(placed) => {
            let of =
                |delivery: &Arc<Delivery>| placed.iter().find(|placed| placed.message_id == delivery.id.0).cloned();
            deliveries.iter().map(|delivery| Ok(of(delivery))).collect()
        }
        Err(Error::Unavailable(reason)) => deliveries.iter().map(|_| Err(Error::Unavailable(reason.clone()))).collect(),
        Err(error) if deliveries.len() == 1 => vec![match error {
            // Two requests with one client id passed the check together; the other has won.
            Error::Taken(Unique::ClientMessageId) => Ok(None),
            error => Err(error),
        }],
        Err(_) => {
            let mut answers = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                answers.append(&mut Box::pin(write_each(store, vec![delivery])).await);
            }
            answers
        }
    }
}

/// All of them in one transaction; those that must not be written are left out.
async fn write(store: &Store, deliveries: &[Arc<Delivery>]) -> Result<Vec<Placed>, Error> {
    match store.db().get_database_backend() {
        DbBackend::Postgres => at_once::write(store.db(), deliveries).await,
        _ => by_steps::write(store, deliveries).await,
    }
}

/// Where a delivered message has got its place.
#[derive(Clone, FromQueryResult)]
struct Placed {
    message_id: uuid::Uuid,
    conversation_id: uuid::Uuid,
    sequence: i64,
    /// The sender's newest message there.
    last_message_id: Option<uuid::Uuid>,
    /// The sender's unread messages there.
    unread_count: i64,
}

impl Placed {
    fn of(&self, delivery: &Delivery) -> (Message, Conversation) {
        let conversation = Conversation {
            id: ConversationId(self.conversation_id),
            peer_id: delivery.recipient_id,
            last_message_id: self.last_message_id.map(MessageId),
            unread_count: self.unread_count,
        };
        (delivery.message(conversation.id, self.sequence), conversation)
    }
}

impl Delivery {
    /// The message in its place.
    fn message(&self, conversation_id: ConversationId, sequence: i64) -> Message {
        Message {
            id: self.id,
            conversation_id,
            sequence,
            sender_id: self.sender_id,
            recipient_id: self.recipient_id,
            client_message_id: self.client_message_id.clone(),
            encrypted_content: self.encrypted_content.clone(),
            iv: self.iv.clone(),
            created_at: self.created_at,
            read_at: None,
        }
    }
}
