//! A message on its way to its mailboxes, and what becomes of it.

use crate::domain::{Conversation, ConversationId, Message, MessageId, SessionId, Timestamp, UserId};
use crate::store::Error;

/// A message on its way.
pub struct Delivery {
    /// Its id.
    pub id: MessageId,
    /// The id of the conversation that begins with it, if it is the first between these two.
    pub new_conversation_id: ConversationId,
    /// Who writes.
    pub sender_id: UserId,
    /// The session that it is written in.
    pub session_id: SessionId,
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

pub(super) type Answer = Result<Option<Placed>, Error>;

/// What has become of a message that was to be written with others.
pub(super) enum Outcome {
    /// It is known what is to be answered.
    Settled(Answer),
    /// Somebody held a mailbox of it, or it came twice: the next round may find it free.
    Retry,
    /// It has to be tried by itself.
    Single,
}

/// Where a delivered message has got its place.
pub(super) struct Placed {
    pub(super) conversation_id: ConversationId,
    pub(super) sequence: i64,
    /// The sender's newest message there.
    pub(super) last_message_id: Option<MessageId>,
    /// The sender's unread messages there.
    pub(super) unread_count: i64,
}

impl Placed {
    pub(super) fn into_message(self, delivery: &Delivery) -> (Message, Conversation) {
        let conversation = Conversation {
            id: self.conversation_id,
            peer_id: delivery.recipient_id,
            last_message_id: self.last_message_id,
            unread_count: self.unread_count,
        };
        (delivery.message(conversation.id, self.sequence), conversation)
    }
}

impl Delivery {
    /// The message in its place.
    pub(super) fn message(&self, conversation_id: ConversationId, sequence: i64) -> Message {
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
