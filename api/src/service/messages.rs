//! Messages: sent once however often the request arrives, and read by their two people only.

use std::collections::HashMap;

use super::{Connection, Error, Operation, conversations, limits, users};
use crate::{
    domain::{
        Conversation, ConversationId, FeedEventKind, Message, MessageId, PageArguments, Timestamp, UserId,
        event::Topic, message::MESSAGE_MAX_BYTES,
    },
    store::{self, Transaction, conversations::Arrival, mailboxes::NewEvent},
};

const CLIENT_MESSAGE_ID_MAX: usize = 64;

/// What a sender hands over.
pub struct Draft {
    /// Whom it is for.
    pub recipient_id: UserId,
    /// The ciphertext.
    pub encrypted_content: Vec<u8>,
    /// Its initialisation vector.
    pub iv: Vec<u8>,
    /// The sender's own id of it.
    pub client_message_id: String,
}

/// Sends a message; the same one again is answered with the first.
pub async fn send(op: &Operation, draft: Draft) -> Result<(Message, Conversation), Error> {
    let sender_id = op.viewer()?.user_id;
    check(&draft)?;
    limits::spend_send(op, sender_id).await?;
    let recipient_id = draft.recipient_id;
    let recipient = users::find_many(op, &[recipient_id]).await?.remove(&recipient_id);
    let recipient = recipient.ok_or(Error::NotFound("recipient"))?;
    let tx = op.backend.store.begin().await?;
    let message = match deliver(op, &tx, sender_id, draft, recipient.is_active).await {
        Ok(Delivered::Now(message)) => {
            tx.commit().await?;
            op.backend.bus.publish(Topic::Mailbox(recipient_id));
            op.backend.bus.publish(Topic::Mailbox(sender_id));
            message
        }
        // Nothing was written, and the places that were taken are given back.
        Ok(Delivered::Before(message)) => {
            tx.rollback().await?;
            message
        }
        Err(error) => {
            tx.rollback().await?;
            return Err(error);
        }
    };
    let conversation = conversations::find_with(op, recipient_id).await?;
    Ok((message, conversation.ok_or(Error::NotFound("conversation"))?))
}

/// Those of these messages that the caller may see.
pub async fn find_many(op: &Operation, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>, Error> {
    let messages = store::messages::find_many(op.backend.store.db(), op.viewer()?.user_id, ids).await?;
    Ok(messages.into_iter().map(|message| (message.id, message)).collect())
}

/// A conversation's messages, the newest first.
pub async fn list(op: &Operation, id: ConversationId, arguments: &PageArguments) -> Result<Connection<Message>, Error> {
    let viewer = op.viewer()?.user_id;
    let list = format!("messages {id}");
    let page = op.page(&list, arguments)?;
    let slice = store::messages::list(op.backend.store.db(), viewer, id, &page).await?;
    Ok(op.connection(&list, slice, |message| message.sequence))
}

fn check(draft: &Draft) -> Result<(), Error> {
    if draft.encrypted_content.is_empty() || draft.encrypted_content.len() > MESSAGE_MAX_BYTES {
        let length = draft.encrypted_content.len();
        return Err(Error::invalid(
            "input.encryptedContent",
            format!("must have 1 to {MESSAGE_MAX_BYTES} bytes, and has {length}"),
        ));
    }
    if ![12, 24].contains(&draft.iv.len()) {
        return Err(Error::invalid("input.iv", format!("must have 12 or 24 bytes, and has {}", draft.iv.len())));
    }
    let id = &draft.client_message_id;
    if id.is_empty() || id.len() > CLIENT_MESSAGE_ID_MAX || !id.bytes().all(|c| c.is_ascii_graphic()) {
        let reason = format!("must have 1 to {CLIENT_MESSAGE_ID_MAX} visible ASCII characters");
        return Err(Error::invalid("input.clientMessageId", reason));
    }
    Ok(())
}

/// A message that is stored.
enum Delivered {
    /// By this request.
    Now(Message),
    /// By an earlier one of the same id.
    Before(Message),
}

/// Writes a message and both its feed events, or finds the one that is there already.
async fn deliver(
    op: &Operation,
    tx: &Transaction,
    sender_id: UserId,
    draft: Draft,
    is_deliverable: bool,
) -> Result<Delivered, Error> {
    let recipient_id = draft.recipient_id;
    let arrivals = arrivals(tx, sender_id, recipient_id).await?;
    // The sender's mailbox is held now, so no other request can be sending under the same id.
    let earlier = store::messages::find_by_client_message_id(tx.db(), sender_id, &draft.client_message_id).await?;
    if let Some(earlier) = earlier {
        return if is_same(&earlier, &draft) {
            Ok(Delivered::Before(earlier))
        } else {
            Err(Error::Conflict { field: "input.clientMessageId", reason: "names another message already" })
        };
    }
    if !is_deliverable {
        return Err(Error::NotFound("recipient"));
    }
    let now = op.backend.source.now();
    let id = MessageId(op.backend.source.uuid());
    let (conversation_id, sequence) = place(op, tx, id, &arrivals, now).await?;
    let message = Message {
        id,
        conversation_id,
        sequence,
        sender_id,
        recipient_id,
        client_message_id: draft.client_message_id,
        encrypted_content: draft.encrypted_content,
        iv: draft.iv,
        created_at: now,
        read_at: None,
    };
    store::messages::insert(tx.db(), &message).await?;
    let events = arrivals.iter().map(|arrival| NewEvent {
        user_id: arrival.user_id,
        sequence: arrival.event,
        kind: FeedEventKind::Sent,
        message_id: id,
    });
    store::mailboxes::record(tx.db(), events, now).await?;
    Ok(Delivered::Now(message))
}

/// Takes a place in the mailbox of either member, in the order of their ids; notes to oneself take one.
async fn arrivals(tx: &Transaction, sender_id: UserId, recipient_id: UserId) -> Result<Vec<Arrival>, Error> {
    let mut members = vec![(sender_id, recipient_id), (recipient_id, sender_id)];
    members.sort_unstable();
    members.dedup();
    let mut arrivals = Vec::with_capacity(members.len());
    for (user_id, peer_id) in members {
        let is_unread = user_id != sender_id;
        let event = store::mailboxes::advance(tx.db(), user_id, is_unread).await?;
        arrivals.push(Arrival { user_id, peer_id, event, is_unread });
    }
    Ok(arrivals)
}

/// Takes the message's place in the conversation, which begins with the first message.
async fn place(
    op: &Operation,
    tx: &Transaction,
    message_id: MessageId,
    arrivals: &[Arrival],
    now: Timestamp,
) -> Result<(ConversationId, i64), Error> {
    let Arrival { user_id: one, peer_id: other, .. } = arrivals[0];
    if let Some(place) = store::conversations::advance(tx.db(), one, other).await? {
        for arrival in arrivals {
            store::conversations::update_member(tx.db(), place.id, message_id, arrival).await?;
        }
        return Ok((place.id, place.sequence));
    }
    let id = ConversationId(op.backend.source.uuid());
    let place = store::conversations::insert(tx.db(), id, (one, other), now).await?;
    store::conversations::insert_members(tx.db(), id, message_id, arrivals).await?;
    Ok((place.id, place.sequence))
}

fn is_same(earlier: &Message, draft: &Draft) -> bool {
    earlier.recipient_id == draft.recipient_id
        && earlier.encrypted_content == draft.encrypted_content
        && earlier.iv == draft.iv
}
