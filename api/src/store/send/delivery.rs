//! A message to deliver, and the outcome of its delivery.

use crate::domain::{Conversation, ConversationId, Message, MessageId, SessionId, Timestamp, UserId};
use crate::store::Error;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A message to deliver.
pub struct Delivery {
    /// Id of the message.
    pub id: MessageId,
    /// Id of a new conversation, used if this is the first message between its users.
    pub new_conversation_id: ConversationId,
    /// Sender of the message.
    pub sender_id: UserId,
    /// Session in which the message is sent.
    pub session_id: SessionId,
    /// Recipient of the message.
    pub recipient_id: UserId,
    /// Client message id, chosen by the sender.
    pub client_message_id: String,
    /// Ciphertext.
    pub encrypted_content: Vec<u8>,
    /// Initialisation vector of the ciphertext.
    pub iv: Vec<u8>,
    /// When the message was accepted.
    pub created_at: Timestamp,
}

/// The position of a message, or `None` if it may not be sent. Fails with the quota that is used up.
pub(super) type Answer = Result<Option<Placed>, Error>;

/// The outcome of a message that was written together with others.
pub(super) enum Outcome {
    /// The response to the sender is known.
    Settled(Answer),
    /// Another transaction locked a mailbox of the message, or the round had a repeat of the message, or the round's
    /// earlier messages used up a quota. The next round may succeed.
    Retry,
    /// The message must be written on its own.
    Single,
}

/// The position of a delivered message, and its conversation from the sender's view.
pub(super) struct Placed {
    pub(super) conversation_id: ConversationId,
    pub(super) sequence: i64,
    /// The sender's newest message in the conversation.
    pub(super) last_message_id: Option<MessageId>,
    /// Number of the sender's unread messages in the conversation.
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
    /// Returns the day on which the message was accepted, in days since 1970 (UTC).
    pub(super) fn day(&self) -> i32 {
        i32::try_from(self.created_at.timestamp().div_euclid(DAY_SECONDS)).unwrap_or(i32::MAX - 1)
    }

    /// Returns the message with its conversation and sequence number.
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
