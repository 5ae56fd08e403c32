//! Messages, and sending them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::{
    domain::{self, Timestamp},
    engine::object::{Field, JsonObject, Scoped, Writer, leaf, object},
    graphql::{
        error::Result,
        request_scope::Scope,
        scalars::{Base64, parse_id},
        types::{conversation::Conversation, user::User},
    },
    service::{self, messages::Draft},
};

/// One encrypted message, seen by its sender or its recipient.
pub(crate) type Message = Scoped<domain::Message>;

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

impl JsonObject for domain::Message {
    const NAME: &'static str = "Message";
    const DESCRIPTION: &'static str = "One encrypted message, seen by its sender or its recipient.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(it.id)),
        object::<_, User>("sender", "Who wrote it.", |it: &Self, entry, out| out.linked(&it.sender_id, entry)),
        object::<_, User>("recipient", "Whom it is for.", |it: &Self, entry, out| out.linked(&it.recipient_id, entry)),
        leaf::<_, Base64>("encryptedContent", "The ciphertext, opaque to the server.", |it, out| {
            out.bytes(&it.encrypted_content);
        }),
        leaf::<_, Base64>("iv", "The initialisation vector, 12 or 24 bytes.", |it, out| out.bytes(&it.iv)),
        leaf::<_, Option<String>>("clientMessageId", "The sender's own id of it; null to the recipient.", |it, out| {
            let is_own = out.scope.context.caller().is_some_and(|viewer| viewer.user_id == it.sender_id);
            out.or_null(is_own.then_some(&*it.client_message_id), Writer::text);
        }),
        leaf::<_, Timestamp>("createdAt", "When the server accepted it.", |it, out| out.time(it.created_at)),
        leaf::<_, Option<Timestamp>>("readAt", "When the recipient marked it read; null until then.", |it, out| {
            out.or_null(it.read_at, Writer::time);
        }),
    ];
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
        let scope = Scope::of(ctx);
        let (message, conversation) = service::messages::send(&scope.context, input.draft()?).await?;
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
        let scope = Scope::of(ctx);
        let id = parse_id("input.conversationId", &input.conversation_id)?;
        let up_to = parse_id("input.upToMessageId", &input.up_to_message_id)?;
        let (conversation, read_count) = service::messages::mark_read(&scope.context, id, up_to).await?;
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
        let deleted = service::messages::delete(&Scope::of(ctx).context, ids).await?;
        let deleted_message_ids = deleted.into_iter().map(|id| id.to_string().into()).collect();
        Ok(Some(DeleteMessagesPayload { deleted_message_ids }))
    }
}
