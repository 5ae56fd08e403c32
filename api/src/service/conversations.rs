//! Conversations as seen by one of their members.

use std::collections::HashMap;

use crate::domain::{Conversation, ConversationId, Message, MessageCounts, PageArguments, UserId};
use crate::service::{Connection, Error, RequestContext, cache_keys};
use crate::store::{self, mailboxes::Mailbox};

const LIST: &str = "conversations";

/// A conversation of the caller, with the parts of it that were loaded.
pub struct ConversationRef {
    /// Id of the conversation, shared by both members.
    pub id: ConversationId,
    /// The other member.
    pub peer_id: UserId,
    /// The caller's state in the conversation, if loaded.
    pub share: Option<Conversation>,
    /// The newest message, if loaded.
    pub last_message: Option<Message>,
}

impl From<Conversation> for ConversationRef {
    fn from(share: Conversation) -> Self {
        Self { id: share.id, peer_id: share.peer_id, share: Some(share), last_message: None }
    }
}

/// Returns a page of the caller's inbox, latest message first. `with_messages` also loads these messages.
pub async fn list(
    context: &RequestContext,
    arguments: &PageArguments,
    with_messages: bool,
) -> Result<Connection<ConversationRef>, Error> {
    let page = context.page(LIST, arguments)?;
    let (db, viewer) = (context.backend.store.db(), context.viewer()?.user_id);
    let slice = store::conversations::list(db, viewer, &page, with_messages).await?;
    context.count_loaded(slice.items.iter().filter_map(|line| line.last_message.as_ref()))?;
    let lines = Connection::of(LIST, slice, |line| line.place);
    Ok(lines.map(|line| ConversationRef { last_message: line.last_message, ..line.conversation.into() }))
}

/// Returns the caller's counts over all messages.
pub async fn count(context: &RequestContext) -> Result<MessageCounts, Error> {
    let mailbox = store::mailboxes::find(context.backend.store.db(), context.viewer()?.user_id).await?;
    let counts = |mailbox: Mailbox| MessageCounts { unread: mailbox.unread_count, stored_bytes: mailbox.stored_bytes };
    Ok(mailbox.map(counts).unwrap_or_default())
}

/// Finds the caller's conversation with a peer. Its id is cached, because a conversation is permanent.
pub async fn known_with(context: &RequestContext, peer_id: UserId) -> Result<Option<ConversationRef>, Error> {
    let (cache, viewer) = (&context.backend.cache, context.viewer()?.user_id);
    let key = cache_keys::conversation(viewer, peer_id);
    if let Some(id) = cache.get_local(&key) {
        return Ok(Some(ConversationRef { id, peer_id, share: None, last_message: None }));
    }
    let reservation = cache.reserve_local();
    let found = find_with(context, peer_id).await?;
    if let Some(conversation) = &found {
        let bytes = size_of::<ConversationId>();
        cache.set_local(&key, &conversation.id, bytes, context.backend.user_cache_lifetime(), &reservation);
    }
    Ok(found.map(ConversationRef::from))
}

/// Finds the caller's conversation with a peer.
pub(super) async fn find_with(context: &RequestContext, peer_id: UserId) -> Result<Option<Conversation>, Error> {
    Ok(store::conversations::find_with(context.backend.store.db(), context.viewer()?.user_id, peer_id).await?)
}

/// Returns those of the given conversations that the caller is a member of.
pub async fn find_many(
    context: &RequestContext,
    ids: &[ConversationId],
) -> Result<HashMap<ConversationId, Conversation>, Error> {
    let found = store::conversations::find_many(context.backend.store.db(), context.viewer()?.user_id, ids).await?;
    Ok(found.into_iter().map(|conversation| (conversation.id, conversation)).collect())
}
