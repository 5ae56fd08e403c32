//! Sending messages, marking them read and deleting them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::graphql::error::Result;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::conversation::Conversation;
use crate::graphql::types::message::Message;
use crate::service::{self, messages::Draft};

/// A message to send.
#[derive(InputObject)]
pub(crate) struct SendMessageInput {
    /// Whom it is for: an active user, possibly oneself.
    recipient_id: ID,
    /// The ciphertext, 1 byte to 64 KiB.
    encrypted_content: Base64,
    /// The initialisation vector, 12 or 24 bytes.
    iv: Base64,
    /// The sender's own id of it, 1 to 64 visible ASCII characters: sending it again sends nothing new.
    client_message_id: String,
}

/// What sending a message has changed.
#[derive(SimpleObject)]
pub(crate) struct SendMessagePayload {
    /// The message, as first accepted.
    pub(crate) message: Message,
    /// The conversation it belongs to.
    pub(crate) conversation: Conversation,
}

/// What to mark read.
#[derive(InputObject)]
pub(crate) struct MarkReadInput {
    /// The conversation.
    conversation_id: ID,
    /// One of its messages: those to the caller are marked read up to this one.
    up_to_message_id: ID,
}

/// What marking messages read has changed.
#[derive(SimpleObject)]
pub(crate) struct MarkReadPayload {
    /// The conversation as it is now.
    conversation: Conversation,
    /// How many messages were marked; 0 when all of them were before.
    read_count: i64,
}

/// What to delete.
#[derive(InputObject)]
pub(crate) struct DeleteMessagesInput {
    /// Messages that the caller has sent or received, 1 to 100.
    ids: Vec<ID>,
}

/// What deleting messages has changed.
#[derive(SimpleObject)]
pub(crate) struct DeleteMessagesPayload {
    /// The messages that the caller sees no more, each once.
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

/// Sending messages, and what is done with them afterwards.
#[derive(Default)]
pub struct MessageMutation;

/// Sending messages, and what is done with them afterwards.
#[Object]
impl MessageMutation {
    /// Sends a message; sending the same one again returns the first; null only when it fails.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let scope = RequestScope::of(ctx);
        let (message, conversation) = service::messages::send(scope.request(), input.draft()?).await?;
        Ok(Some(SendMessagePayload {
            message: Message::new(scope, message),
            conversation: Conversation::new(scope, conversation.into()),
        }))
    }

    /// Marks messages to the caller read, up to one of a conversation; null only when it fails.
    async fn mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Up to where.")] input: MarkReadInput,
    ) -> Result<Option<MarkReadPayload>> {
        let scope = RequestScope::of(ctx);
        let id = parse_id("input.conversationId", &input.conversation_id)?;
        let up_to = parse_id("input.upToMessageId", &input.up_to_message_id)?;
        let (conversation, read_count) = service::messages::mark_read(scope.request(), id, up_to).await?;
        Ok(Some(MarkReadPayload { conversation: Conversation::new(scope, conversation.into()), read_count }))
    }

    /// Deletes messages on the caller's side, all of them or none; null only when it fails.
    ///
    /// When both sides have deleted a message, the server forgets its ciphertext. Deleting again changes nothing.
    async fn delete_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The messages.")] input: DeleteMessagesInput,
    ) -> Result<Option<DeleteMessagesPayload>> {
        let ids = input.ids.iter().map(|id| parse_id("input.ids", id)).collect::<Result<_>>()?;
        let deleted = service::messages::delete(RequestScope::of(ctx).request(), ids).await?;
        let deleted_message_ids = deleted.into_iter().map(|id| id.to_string().into()).collect();
        Ok(Some(DeleteMessagesPayload { deleted_message_ids }))
    }
}
