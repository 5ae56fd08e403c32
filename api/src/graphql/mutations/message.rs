//! Mutations of messages: send, mark read, delete.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::graphql::error::Result;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::conversation::Conversation;
use crate::graphql::types::message::Message;
use crate::service::{self, messages::Draft};

/// Input of `sendMessage`.
#[derive(InputObject)]
pub(crate) struct SendMessageInput {
    /// Id of the recipient: an active user, possibly the caller.
    recipient_id: ID,
    /// Ciphertext, 1 byte to 64 KiB (`serviceConfig.maxMessageBytes`). Opaque to the server.
    encrypted_content: Base64,
    /// Initialisation vector of the ciphertext, 12 or 24 bytes.
    iv: Base64,
    /// Idempotency key, unique for each message of the sender: 1 to 64 visible ASCII characters.
    client_message_id: String,
}

/// Payload of `sendMessage`.
#[derive(SimpleObject)]
pub(crate) struct SendMessagePayload {
    /// The message that was stored first under this idempotency key.
    pub(crate) message: Message,
    /// Conversation of the message.
    pub(crate) conversation: Conversation,
}

/// Input of `markRead`.
#[derive(InputObject)]
pub(crate) struct MarkReadInput {
    /// Id of the conversation.
    conversation_id: ID,
    /// Id of a message of the conversation. Messages up to and including this one are marked read.
    up_to_message_id: ID,
}

/// Payload of `markRead`.
#[derive(SimpleObject)]
pub(crate) struct MarkReadPayload {
    /// The conversation after the change.
    conversation: Conversation,
    /// Number of messages that were marked. 0 if all were marked before.
    read_count: i64,
}

/// Input of `deleteMessages`.
#[derive(InputObject)]
pub(crate) struct DeleteMessagesInput {
    /// Ids of 1 to 100 messages that the caller sent or received.
    ids: Vec<ID>,
}

/// Payload of `deleteMessages`.
#[derive(SimpleObject)]
pub(crate) struct DeleteMessagesPayload {
    /// Ids of the messages that the caller no longer sees, each once.
    deleted_message_ids: Vec<ID>,
}

impl SendMessageInput {
    pub(crate) fn draft(self) -> Result<Draft> {
        Ok(Draft {
            recipient_id: parse_id("input.recipientId", &self.recipient_id)?,
            encrypted_content: self.encrypted_content.0,
            iv: self.iv.0,
            client_message_id: self.client_message_id,
        })
    }
}

/// Mutations of messages.
#[derive(Default)]
pub struct MessageMutation;

/// Mutations of messages.
#[Object]
impl MessageMutation {
    /// Sends an encrypted message.
    ///
    /// `clientMessageId` is the idempotency key. A retry with the same key and content sends nothing new and returns
    /// the stored message.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if a field is not acceptable
    /// - `NOT_FOUND` if the recipient does not exist or is deactivated
    /// - `CONFLICT` if the key belongs to another message, or to one that both members have deleted
    /// - `RATE_LIMITED` after too many messages
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Message to send.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let scope = RequestScope::of(ctx);
        let (message, conversation) = service::messages::send(scope.request(), input.draft()?).await?;
        Ok(Some(SendMessagePayload {
            message: Message::new(scope, message),
            conversation: Conversation::new(scope, conversation.into()),
        }))
    }

    /// Marks the messages to the caller in a conversation as read, up to a given message.
    ///
    /// A repeat changes nothing.
    ///
    /// Fails with:
    /// - `NOT_FOUND` if the caller cannot see the conversation or the message
    /// - `BAD_USER_INPUT` if the message is in another conversation
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Conversation and message.")] input: MarkReadInput,
    ) -> Result<Option<MarkReadPayload>> {
        let scope = RequestScope::of(ctx);
        let id = parse_id("input.conversationId", &input.conversation_id)?;
        let up_to = parse_id("input.upToMessageId", &input.up_to_message_id)?;
        let (conversation, read_count) = service::messages::mark_read(scope.request(), id, up_to).await?;
        Ok(Some(MarkReadPayload { conversation: Conversation::new(scope, conversation.into()), read_count }))
    }

    /// Deletes messages for the caller, all of them or none.
    ///
    /// The other member keeps them. When both members have deleted a message, the server deletes its ciphertext. A
    /// repeat changes nothing.
    ///
    /// Fails with:
    /// - `NOT_FOUND` if the caller neither sent nor received one of the messages
    /// - `BAD_USER_INPUT` unless there are 1 to 100 ids of messages
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn delete_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Messages to delete.")] input: DeleteMessagesInput,
    ) -> Result<Option<DeleteMessagesPayload>> {
        let ids = input.ids.iter().map(|id| parse_id("input.ids", id)).collect::<Result<_>>()?;
        let deleted = service::messages::delete(RequestScope::of(ctx).request(), ids).await?;
        let deleted_message_ids = deleted.into_iter().map(|id| id.to_string().into()).collect();
        Ok(Some(DeleteMessagesPayload { deleted_message_ids }))
    }
}
