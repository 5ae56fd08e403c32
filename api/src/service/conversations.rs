//! Conversations as one of their members sees them.

use std::collections::HashMap;

use super::{Error, Operation};
use crate::{
    domain::{Conversation, ConversationId, UserId},
    store,
};

/// The caller's conversation with a peer, if they have one.
pub async fn find_with(op: &Operation, peer_id: UserId) -> Result<Option<Conversation>, Error> {
    Ok(store::conversations::find_with(op.backend.store.db(), op.viewer()?.user_id, peer_id).await?)
}

/// Those of these conversations that the caller is a member of.
pub async fn find_many(op: &Operation, ids: &[ConversationId]) -> Result<HashMap<ConversationId, Conversation>, Error> {
    let found = store::conversations::find_many(op.backend.store.db(), op.viewer()?.user_id, ids).await?;
    Ok(found.into_iter().map(|conversation| (conversation.id, conversation)).collect())
}
