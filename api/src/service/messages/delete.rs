//! Deletes messages for one participant.

use crate::domain::{Conversation, FeedEventKind, MessageId, UserId, event::Topic};
use crate::service::{Error, RequestContext, after_commit::AfterCommit, sessions};
use crate::store::{self, Transaction, messages::MessageView};

/// Maximum number of messages that one call deletes.
const IDS_MAX: usize = 100;

/// Deletes messages on the caller's side, all or none. The ciphertext is removed once both sides have deleted.
pub async fn delete(context: &RequestContext, mut ids: Vec<MessageId>) -> Result<Vec<MessageId>, Error> {
    let user_id = context.viewer()?.user_id;
    if ids.is_empty() || ids.len() > IDS_MAX {
        let reason = format!("must have 1 to {IDS_MAX} IDs, but has {}", ids.len());
        return Err(Error::invalid("input.ids", reason));
    }
    ids.sort_unstable();
    ids.dedup();
    let after = AfterCommit::default().publish([Topic::Mailbox(user_id)]);

    let tx = context.backend.store.begin().await?;
    sessions::lock_session(context, &tx).await?;
    let mailboxes = store::mailboxes::lock(tx.db(), &[user_id]).await?;
    let mut views = store::messages::lock(tx.db(), user_id, &ids).await?;
    if views.len() < ids.len() {
        tx.rollback().await?;
        return Err(Error::NotFound("message"));
    }
    views.retain(|view| view.is_shown);
    if views.is_empty() {
        tx.rollback().await?;
        // A repeated request: the hint of the first one may have been lost.
        return after.finish(&context.backend, Ok(ids)).await;
    }
    let shown: Vec<_> = views.iter().map(|view| view.id).collect();
    store::messages::delete(tx.db(), user_id, &shown).await?;
    let conversation_ids: Vec<_> = views.iter().map(|view| view.conversation_id).collect();
    for conversation in store::conversations::find_many(tx.db(), user_id, &conversation_ids).await? {
        remove_from_inbox(&tx, user_id, conversation, &views).await?;
    }
    let unread: i64 = views.iter().map(|view| i64::from(view.is_unread)).sum();
    let freed: i64 = views.iter().map(|view| view.stored_bytes).sum();
    for mut mailbox in mailboxes {
        mailbox.unread_count -= unread;
        mailbox.stored_bytes -= freed;
        let now = context.backend.source.now();
        store::mailboxes::append(tx.db(), mailbox, FeedEventKind::Deleted, &shown, now).await?;
    }
    after.commit(&context.backend, tx).await?;
    Ok(ids)
}

/// Updates a member's unread count and latest message in a conversation after messages were deleted.
async fn remove_from_inbox(
    tx: &Transaction,
    user_id: UserId,
    mut conversation: Conversation,
    views: &[MessageView],
) -> Result<(), Error> {
    let within: Vec<_> = views.iter().filter(|view| view.conversation_id == conversation.id).collect();
    let unread: i64 = within.iter().map(|view| i64::from(view.is_unread)).sum();
    let last = within.iter().find(|view| Some(view.id) == conversation.last_message_id);
    if unread == 0 && last.is_none() {
        return Ok(());
    }
    if let Some(last) = last {
        conversation.last_message_id =
            store::messages::find_before(tx.db(), user_id, conversation.id, last.sequence).await?;
    }
    conversation.unread_count -= unread;
    Ok(store::conversations::update(tx.db(), user_id, &conversation).await?)
}
