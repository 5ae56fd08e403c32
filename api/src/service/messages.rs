//! Messages: sent once however often a request arrives, and readable only by their two participants.

mod delete;
mod mark_read;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use self::{delete::delete, mark_read::mark_read};
use crate::domain::event::Topic;
use crate::domain::message::MESSAGE_MAX_BYTES;
use crate::domain::{
    Conversation, ConversationId, Message, MessageId, Page, PageArguments, Quota, Timestamp, UserId, Viewer,
};
use crate::service::{Connection, Error, RequestContext, context::rate_limits::RateLimit, conversations, sessions};
use crate::store::{self, send::Delivery};

const CLIENT_MESSAGE_ID_MAX: usize = 64;
/// Maximum number of messages that one statement finds by their ids.
const FIND_MAX: usize = 256;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A message to send.
pub struct Draft {
    /// Recipient of the message.
    pub recipient_id: UserId,
    /// The ciphertext.
    pub encrypted_content: Vec<u8>,
    /// Initialisation vector of the ciphertext.
    pub iv: Vec<u8>,
    /// Idempotency key that the sender chooses.
    pub client_message_id: String,
}

/// Sends a message. A repeated request returns the first message.
pub async fn send(context: &RequestContext, draft: Draft) -> Result<(Message, Conversation), Error> {
    let Viewer { user_id: sender_id, session_id, .. } = *context.viewer()?;
    check(&draft)?;
    RateLimit::SEND.spend(context, &sender_id).await?;
    let source = &context.backend.source;
    let delivery = Arc::new(Delivery {
        id: MessageId(source.uuid()),
        new_conversation_id: ConversationId(source.uuid()),
        sender_id,
        session_id,
        recipient_id: draft.recipient_id,
        client_message_id: draft.client_message_id,
        encrypted_content: draft.encrypted_content,
        iv: draft.iv,
        created_at: source.now(),
    });
    let topics = [delivery.recipient_id, sender_id].map(Topic::Mailbox);
    let exceeded = match store::send::deliver(&context.backend.store, &context.backend.config.quotas, &delivery).await {
        Ok(Some(delivered)) => {
            context.backend.bus.publish_all(topics);
            return Ok(delivered);
        }
        Ok(None) => None,
        Err(store::Error::QuotaExceeded(quota)) => Some(quota),
        Err(error) => {
            // The message may be stored. No second hint follows, unlike in `AfterCommit`: feeds that read too early
            // find the message by polling.
            context.backend.bus.publish_all(topics);
            return Err(error.into());
        }
    };
    // Also if a quota is exceeded: of two repeats at once, the first may have used it up.
    if let Some(earlier) = find_earlier(context, &delivery).await? {
        return Ok(earlier);
    }
    let Some(quota) = exceeded else {
        // Either the recipient accepts no messages, or the session has ended meanwhile.
        sessions::current(context).await?;
        return Err(Error::NotFound("recipient"));
    };
    context.backend.counted.quota_refusals.add(quota.as_str());
    let retry_after = (quota == Quota::SentToday).then(|| until_midnight(source.now()));
    Err(Error::QuotaExceeded { retry_after })
}

/// Returns those of these messages that the caller may see.
pub async fn find_many(context: &RequestContext, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>, Error> {
    let mut found = HashMap::with_capacity(ids.len());
    // In parts, so that the memory of an operation is checked before it loads more.
    for ids in ids.chunks(FIND_MAX) {
        let messages = store::messages::find_many(context.backend.store.db(), context.viewer()?.user_id, ids).await?;
        context.count_loaded(&messages)?;
        found.extend(messages.into_iter().map(|message| (message.id, message)));
    }
    Ok(found)
}

/// Returns the page of messages to read. `fetch_extra` adds a row, which reveals whether another page exists.
pub fn page(
    context: &RequestContext,
    id: ConversationId,
    arguments: &PageArguments,
    fetch_extra: bool,
) -> Result<Page<i64>, Error> {
    Ok(Page { fetch_extra, ..context.page(id, arguments)? })
}

/// Returns one page of messages for each conversation, newest first.
pub async fn list_many(
    context: &RequestContext,
    ids: &[ConversationId],
    page: &Page<i64>,
) -> Result<HashMap<ConversationId, Connection<Message>>, Error> {
    let (db, viewer) = (context.backend.store.db(), context.viewer()?.user_id);
    let mut slices = HashMap::with_capacity(ids.len());
    if ids.len() == 1 || page.after.is_some() || page.before.is_some() {
        for id in ids {
            let slice = store::messages::list(db, viewer, *id, page).await?;
            context.count_loaded(&slice.items)?;
            slices.insert(*id, slice);
        }
    } else {
        slices = store::messages::list_many(db, viewer, ids, page).await?;
        context.count_loaded(slices.values().flat_map(|slice| &slice.items))?;
    }
    let connection = |(id, slice)| (id, Connection::of(id, slice, |message: &Message| message.sequence));
    Ok(slices.into_iter().map(connection).collect())
}

fn check(draft: &Draft) -> Result<(), Error> {
    if draft.encrypted_content.is_empty() || draft.encrypted_content.len() > MESSAGE_MAX_BYTES {
        let length = draft.encrypted_content.len();
        return Err(Error::invalid(
            "input.encryptedContent",
            format!("must have 1 to {MESSAGE_MAX_BYTES} bytes, but has {length}"),
        ));
    }
    if ![12, 24].contains(&draft.iv.len()) {
        return Err(Error::invalid("input.iv", format!("must have 12 or 24 bytes, but has {}", draft.iv.len())));
    }
    let id = &draft.client_message_id;
    if id.is_empty() || id.len() > CLIENT_MESSAGE_ID_MAX || !id.bytes().all(|c| c.is_ascii_graphic()) {
        let reason = format!("must have 1 to {CLIENT_MESSAGE_ID_MAX} visible ASCII characters");
        return Err(Error::invalid("input.clientMessageId", reason));
    }
    Ok(())
}

/// Returns the time until the next midnight UTC, in whole seconds.
fn until_midnight(now: Timestamp) -> Duration {
    let passed = u64::try_from(now.timestamp()).unwrap_or_default() % DAY_SECONDS;
    Duration::from_secs(DAY_SECONDS - passed)
}

/// Returns the message that was already sent under this client id, if any. Fails if that message differs.
async fn find_earlier(context: &RequestContext, delivery: &Delivery) -> Result<Option<(Message, Conversation)>, Error> {
    let (db, sender_id) = (context.backend.store.db(), delivery.sender_id);
    let earlier = store::messages::find_by_client_message_id(db, sender_id, &delivery.client_message_id).await?;
    let Some(earlier) = earlier else { return Ok(None) };
    let conflict = |reason| Err(Error::Conflict { field: "input.clientMessageId", reason });
    if earlier.encrypted_content.is_empty() {
        return conflict("belongs to a message that both sides have deleted: use a new ID");
    }
    if !has_same_content(&earlier, delivery) {
        return conflict("belongs to another message: use a new ID");
    }
    // The hints may have been lost along with the first response.
    context.backend.bus.publish_all([earlier.recipient_id, sender_id].map(Topic::Mailbox));
    let conversation = conversations::find_with(context, earlier.recipient_id).await?;
    Ok(Some((earlier, conversation.ok_or(Error::NotFound("conversation"))?)))
}

fn has_same_content(earlier: &Message, delivery: &Delivery) -> bool {
    earlier.recipient_id == delivery.recipient_id
        && earlier.encrypted_content == delivery.encrypted_content
        && earlier.iv == delivery.iv
}
