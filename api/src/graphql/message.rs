//! Messages, and sending them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{
    conversation::Conversation,
    error::Result,
    scalars::{Base64, parse_id},
    scope::Scope,
    user::User,
};
use crate::{
    domain::{self, Timestamp},
    service::{self, messages::Draft},
};

/// One encrypted message, seen by its sender or its recipient.
pub(super) struct Message {
    pub(super) scope: Scope,
    pub(super) message: domain::Message,
}

/// A message to send.
#[derive(InputObject)]
pub(super) struct SendMessageInput {
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
pub(super) struct SendMessagePayload {
    /// The message, as first accepted.
    pub(super) message: Message,
    /// The conversation it belongs to.
    pub(super) conversation: Conversation,
}

/// One encrypted message, seen by its sender or its recipient.
#[Object]
impl Message {
    /// Global and stable.
    pub(super) async fn id(&self) -> ID {
        self.message.id.to_string().into()
    }

    /// Who wrote it.
    async fn sender(&self) -> Result<User> {
        User::load(&self.scope, self.message.sender_id).await
    }

    /// Whom it is for.
    async fn recipient(&self) -> Result<User> {
        User::load(&self.scope, self.message.recipient_id).await
    }

    /// The ciphertext, opaque to the server.
    async fn encrypted_content(&self) -> Base64 {
        Base64(self.message.encrypted_content.clone())
    }

    /// The initialisation vector, 12 or 24 bytes.
    async fn iv(&self) -> Base64 {
        Base64(self.message.iv.clone())
    }

    /// The sender's own id of it; null to the recipient.
    async fn client_message_id(&self) -> Option<&str> {
        let is_own = self.scope.op.caller().is_some_and(|viewer| viewer.user_id == self.message.sender_id);
        is_own.then_some(&*self.message.client_message_id)
    }

    /// When the server accepted it.
    async fn created_at(&self) -> Timestamp {
        self.message.created_at
    }

    /// When the recipient marked it read; null until then.
    async fn read_at(&self) -> Option<Timestamp> {
        self.message.read_at
    }
}

impl SendMessageInput {
    pub(super) fn draft(self) -> Result<Draft> {
        Ok(Draft {
            recipient_id: parse_id("input.recipientId", &self.recipient_id)?,
            encrypted_content: self.encrypted_content.0,
            iv: self.iv.0,
            client_message_id: self.client_message_id,
        })
    }
}

/// Sending messages.
#[derive(Default)]
pub struct MessageMutation;

/// Sending messages.
#[Object]
impl MessageMutation {
    /// Sends a message; sending the same one again returns the first; null only when it fails.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: SendMessageInput,
    ) -> Result<Option<SendMessagePayload>> {
        let scope = Scope::of(ctx);
        let (message, conversation) = service::messages::send(&scope.op, input.draft()?).await?;
        Ok(Some(SendMessagePayload {
            message: Message { scope: scope.clone(), message },
            conversation: Conversation { scope: scope.clone(), conversation },
        }))
    }
}
