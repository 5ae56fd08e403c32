//! Messages, conversations and the feed that tells of them.

use crate::domain::{ConversationId, MessageId, Timestamp, UserId, text_enum::text_enum};

/// The largest ciphertext of one message, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// The largest ciphertext of a page of messages, in bytes. A page ends early there.
pub const PAGE_MAX_BYTES: usize = 1024 * 1024;

/// One encrypted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Never changes.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation_id: ConversationId,
    /// Its place in the conversation, from 1.
    pub sequence: i64,
    /// Who wrote it.
    pub sender_id: UserId,
    /// Whom it is for.
    pub recipient_id: UserId,
    /// The sender's own id of it.
    pub client_message_id: String,
    /// Opaque to the server.
    pub encrypted_content: Vec<u8>,
    /// 12 or 24 bytes.
    pub iv: Vec<u8>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When the recipient marked it read, if it did.
    pub read_at: Option<Timestamp>,
}

/// A conversation as one of its two members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The same for both members.
    pub id: ConversationId,
    /// The other member, or oneself in notes to oneself.
    pub peer_id: UserId,
    /// The newest message that this member has not deleted.
    pub last_message_id: Option<MessageId>,
    /// Messages to this member that it has not marked read.
    pub unread_count: i64,
}

/// A conversation's line in a member's inbox.
#[derive(Debug, Clone)]
pub struct InboxLine {
    /// Where it stands: the higher, the later was its newest message.
    pub place: i64,
    /// The conversation.
    pub conversation: Conversation,
    /// Its newest message, if it was read along.
    pub last_message: Option<Message>,
}

text_enum! {
    /// What an event of the feed says.
    pub enum FeedEventKind {
        /// A message was sent, by the user or to it.
        Sent = "SENT",
        /// The messages to one of the two, up to this one, were marked read.
        Read = "READ",
        /// A message was deleted on the user's side.
        Deleted = "DELETED",
        /// The backlog has ended; what follows is live.
        CaughtUp = "CAUGHT_UP",
        /// Events before this point were removed by retention.
        Gap = "GAP",
    }
}

/// One event of a user's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its place in the mailbox; a gapless total order of commits.
    pub sequence: i64,
    /// What happened.
    pub kind: FeedEventKind,
    /// The message it happened to; absent for CAUGHT_UP and GAP.
    pub message_id: Option<MessageId>,
    /// That message, unless the user has deleted it.
    pub message: Option<Message>,
}
