//! Conversations as one of their members sees them.

use std::collections::HashMap;

use super::{Connection, Error, Operation};
use crate::{
    domain::{Conversation, ConversationId, PageArguments, UserId},
    store,
};

const LIST: &str = "conversations";

/// The caller's inbox, the conversation of the latest message first.
pub async fn list(op: &Operation, arguments: &PageArguments) -> Result<Connection<Conversation>, Error> {
    let page = op.page(LIST, arguments)?;
    let slice = store::conversations::list(op.backend.store.db(), op.viewer()?.user_id, &page).await?;
    Ok(Connection::of(LIST, slice, |line| line.place).map(|line| line.conversation))
}

/// The messages to the caller that it has not marked read, in all conversations together.
pub async fn count_unread(op: &Operation) -> Result<i64, Error> {
    let mailbox = store::mailboxes::find(op.backend.store.db(), op.viewer()?.user_id).await?;
    Ok(mailbox.map_or(0, |mailbox| mailbox.unread_count))
}

/// The id of the caller's conversation with a peer, if they have one.
pub async fn id_with(op: &Operation, peer_id: UserId) -> Result<Option<ConversationId>, Error> {
    Ok(find_with(op, peer_id).await?.map(|conversation| conversation.id))
}

/// The caller's conversation with a peer, if they have one.
pub(super) async fn find_with(op: &Operation, peer_id: UserId) -> Result<Option<Conversation>, Error> {
    Ok(store::conversations::find_with(op.backend.store.db(), op.viewer()?.user_id, peer_id).await?)
}

/// Those of these conversations that the caller is a member of.
pub async fn find_many(op: &Operation, ids: &[ConversationId]) -> Result<HashMap<ConversationId, Conversation>, Error> {
    let found = store::conversations::find_many(op.backend.store.db(), op.viewer()?.user_id, ids).await?;
    Ok(found.into_iter().map(|conversation| (conversation.id, conversation)).collect())
}
