//! Marks messages as read.

use crate::domain::{Conversation, ConversationId, FeedEventKind, MessageId, event::Topic};
use crate::service::{Error, RequestContext, after_commit::AfterCommit, sessions};
use crate::store::{self, messages::SequenceRange};

/// Marks messages to the caller as read, up to and including `up_to_id`. Returns the conversation and the number of
/// newly read messages.
pub async fn mark_read(
    context: &RequestContext,
    id: ConversationId,
    up_to_id: MessageId,
) -> Result<(Conversation, i64), Error> {
    let (db, reader_id) = (context.backend.store.db(), context.viewer()?.user_id);
    // Reads the message first, so that the conversation's unread count includes it.
    let up_to = store::messages::find_many(db, reader_id, &[up_to_id]).await?.pop();
    let share = store::conversations::find_share(db, reader_id, id).await?.ok_or(Error::NotFound("conversation"))?;
    let up_to = up_to.ok_or(Error::NotFound("message"))?;
    if up_to.conversation_id != id {
        return Err(Error::invalid("input.upToMessageId", "belongs to a message of another conversation"));
    }
    let mut conversation = share.conversation;
    let after = AfterCommit::default().publish([conversation.peer_id, reader_id].map(Topic::Mailbox));
    if up_to.sequence <= share.read_sequence || conversation.unread_count == 0 {
        // A repeated request: the hints of the first one may have been lost.
        return after.finish(&context.backend, Ok((conversation, 0))).await;
    }

    let range = SequenceRange { conversation_id: id, after: share.read_sequence, up_to: up_to.sequence };
    let tx = context.backend.store.begin().await?;
    sessions::lock_session(context, &tx).await?;
    let mailboxes = store::mailboxes::lock(tx.db(), &[reader_id, conversation.peer_id]).await?;
    let now = context.backend.source.now();
    let count = store::messages::mark_read(tx.db(), reader_id, &range, false, now).await?;
    if count > 0 {
        // Also covers messages that the reader deleted unread, so that one event informs the sender of all.
        store::messages::mark_read(tx.db(), reader_id, &range, true, now).await?;
        conversation.unread_count = store::conversations::mark_read(tx.db(), reader_id, &range, count).await?;
        // The receipt names the newest message to the reader: nobody has read what the reader wrote later.
        let newest_id = if up_to.sender_id == reader_id {
            store::messages::find_newest_to(tx.db(), reader_id, &range).await?.unwrap_or(up_to_id)
        } else {
            up_to_id
        };
        // One event in both mailboxes: an update for the reader's other devices and a receipt for the sender.
        for mut mailbox in mailboxes {
            if mailbox.user_id == reader_id {
                mailbox.unread_count -= count;
            }
            store::mailboxes::append(tx.db(), mailbox, FeedEventKind::Read, &[newest_id], now).await?;
        }
        after.commit(&context.backend, tx).await?;
    } else {
        // All unread messages are later ones, or another device of the reader was faster.
        tx.rollback().await?;
    }
    Ok((conversation, count))
}
