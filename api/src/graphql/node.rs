//! Objects by their global ids.

use async_graphql::{ID, Interface};

use super::{
    conversation::Conversation, error::Result, message::Message, scalars::parse_id, scope::Scope, session::Session,
    user::User,
};
use crate::{domain::NodeId, service};

/// Whatever has a global id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Global and stable; opaque, though it names the type."))]
pub(super) enum Node {
    User(User),
    Session(Session),
    Conversation(Conversation),
    Message(Message),
}

impl Node {
    /// The object of this id, if it exists and the caller may see it.
    pub(super) async fn find(scope: &Scope, field: &str, id: &ID) -> Result<Option<Self>> {
        scope.op.viewer()?;
        let scope = scope.clone();
        let loaders = &scope.clone().loaders;
        Ok(match parse_id::<NodeId>(field, id)? {
            NodeId::User(id) => loaders.users.load_one(id).await?.map(|user| Self::User(User { scope, user })),
            NodeId::Session(id) => {
                let session = service::sessions::find(&scope.op, id).await?;
                session.map(|session| Self::Session(Session { scope, session }))
            }
            NodeId::Conversation(id) => {
                let conversation = loaders.conversations.load_one(id).await?;
                conversation.map(|conversation| Self::Conversation(Conversation { scope, conversation }))
            }
            NodeId::Message(id) => {
                let message = loaders.messages.load_one(id).await?;
                message.map(|message| Self::Message(Message { scope, message }))
            }
        })
    }
}
