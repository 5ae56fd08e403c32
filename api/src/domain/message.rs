//! Messages, conversations and events of the message feed.

use crate::domain::{ConversationId, MessageId, Timestamp, UserId, text_enum::text_enum};

/// Maximum size of a message's ciphertext, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// The largest ciphertext of a page of messages, in bytes. A page ends early there.
pub const PAGE_MAX_BYTES: usize = 1024 * 1024;

/// An encrypted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Id, which never changes.
    pub id: MessageId,
    /// Conversation of the message.
    pub conversation_id: ConversationId,
    /// Sequence number in the conversation, from 1.
    pub sequence: i64,
    /// User who sent the message.
    pub sender_id: UserId,
    /// User to whom the message was sent.
    pub recipient_id: UserId,
    /// Idempotency key from the sender.
    pub client_message_id: String,
    /// Ciphertext, opaque to the server.
    pub encrypted_content: Vec<u8>,
    /// Initialisation vector, 12 or 24 bytes.
    pub iv: Vec<u8>,
    /// Time when the server accepted the message.
    pub created_at: Timestamp,
    /// Time when the recipient marked the message read, if they did.
    pub read_at: Option<Timestamp>,
}

/// A conversation, as one of its two members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Id, equal for both members.
    pub id: ConversationId,
    /// The other member. This member, if the conversation has no other.
    pub peer_id: UserId,
    /// Newest message that this member has not deleted, if there is one.
    pub last_message_id: Option<MessageId>,
    /// Number of messages to this member that are not marked read.
    pub unread_count: i64,
}

/// A conversation's entry in a member's inbox.
#[derive(Debug, Clone)]
pub struct InboxLine {
    /// Position in the inbox. A higher one has a later newest message.
    pub place: i64,
    /// The conversation.
    pub conversation: Conversation,
    /// Newest message, if it was read together with the entry.
    pub last_message: Option<Message>,
}

text_enum! {
    /// A quota of a user's messages.
    pub enum Quota {
        /// Ciphertext bytes of the messages that the user has sent and not deleted.
        Stored = "stored",
        /// Ciphertext bytes of the messages that the user has sent since midnight UTC.
        SentToday = "sent_today",
    }
}

/// A user's counts over all messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Number of messages that the user has yet to read.
    pub unread: i64,
    /// Ciphertext bytes of the messages that the user has sent and not deleted.
    pub stored_bytes: i64,
}

text_enum! {
    /// Kind of an event in the message feed.
    pub enum FeedEventKind {
        /// The user sent or received the message.
        Sent = "SENT",
        /// The recipient marked all messages up to this one read.
        Read = "READ",
        /// The user deleted the message.
        Deleted = "DELETED",
        /// The backlog ends here. All later events are live.
        CaughtUp = "CAUGHT_UP",
        /// Retention removed events before this one.
        Gap = "GAP",
    }
}

/// An event of a user's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Sequence number in the mailbox. Sequence numbers follow the order of commits, without gaps.
    pub sequence: i64,
    /// Kind of the event.
    pub kind: FeedEventKind,
    /// Id of the message. `None` for `CAUGHT_UP` and `GAP`.
    pub message_id: Option<MessageId>,
    /// The message, unless the user has deleted it.
    pub message: Option<Message>,
}
