//! Conversations as one of their members sees them.

use async_graphql::{ID, Object};

use super::{
    connection::{Connection, arguments},
    error::Result,
    loaders::{End, MessagesAt},
    message::Message,
    scope::Scope,
    user::User,
};
use crate::{domain, service};

/// The exchange of messages with one other user, as the caller sees it.
pub(super) struct Conversation {
    pub(super) scope: Scope,
    pub(super) conversation: domain::Conversation,
}

/// The exchange of messages with one other user, as the caller sees it.
#[Object]
impl Conversation {
    /// Global and stable; the same for both members.
    pub(super) async fn id(&self) -> ID {
        self.conversation.id.to_string().into()
    }

    /// The other member; the caller in notes to oneself.
    async fn peer(&self) -> Result<User> {
        User::load(&self.scope, self.conversation.peer_id).await
    }

    /// The newest message; null when the caller has deleted them all.
    async fn last_message(&self) -> Result<Option<Message>> {
        let Some(id) = self.conversation.last_message_id else { return Ok(None) };
        let message = self.scope.loader.load_one(id).await?;
        Ok(message.map(|message| Message { scope: self.scope.clone(), message }))
    }

    /// Messages to the caller that are not marked read.
    async fn unread_count(&self) -> i64 {
        self.conversation.unread_count
    }

    /// The messages that the caller has not deleted, the newest first.
    async fn messages(
        &self,
        #[graphql(desc = "How many from the newest on.")] first: Option<i32>,
        #[graphql(desc = "Only what is older than this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the oldest on.")] last: Option<i32>,
        #[graphql(desc = "Only what is newer than this cursor.")] before: Option<String>,
    ) -> Result<Connection<Message>> {
        let (op, id) = (&self.scope.op, self.conversation.id);
        let page = service::messages::page(op, id, &arguments(first, after, last, before))?;
        let slice = match End::of(&page) {
            Some(end) => self.scope.loader.load_one(MessagesAt { end, conversation_id: id }).await?,
            None => Some(service::messages::list(op, id, &page).await?),
        };
        let slice = slice.ok_or(service::Error::NotFound("conversation"))?;
        let messages = service::messages::connection(op, id, slice);
        Ok(Connection::of(messages, |message| Message { scope: self.scope.clone(), message }))
    }
}
