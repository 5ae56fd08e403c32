//! Conversations as one of their members sees them.

use async_graphql::ID;

use super::{
    connection::Connection,
    loaders::MessagesOf,
    message::Message,
    user::User,
    written::{Entry, Field, Outcome, Shown, Writer, Written, leaf, lookup, object},
};
use crate::{
    domain::{self, ConversationId, UserId},
    service,
};

/// The exchange of messages with one other user, as the caller sees it.
pub(super) type Conversation = Shown<Seen>;

/// A conversation, and as much of the caller's share in it as has been read.
pub(super) struct Seen {
    id: ConversationId,
    peer_id: UserId,
    share: Option<domain::Conversation>,
}

impl Written for Seen {
    const NAME: &'static str = "Conversation";
    const DESCRIPTION: &'static str = "The exchange of messages with one other user, as the caller sees it.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable; the same for both members.", |it, out| out.plain(it.id)),
        object::<_, User>("peer", "The other member; the caller in notes to oneself.", |it: &Self, entry, out| {
            out.linked(&it.peer_id, entry)
        }),
        object::<_, Option<Message>>(
            "lastMessage",
            "The newest message; null when the caller has deleted them all.",
            |it: &Self, entry, out| {
                it.share(out, entry, |out, share| out.linked_or_null(share.last_message_id.as_ref(), entry))
            },
        ),
        lookup::<_, i64>("unreadCount", "Messages to the caller that are not marked read.", |it: &Self, entry, out| {
            it.share(out, entry, |out, share| {
                out.json(&share.unread_count);
                Ok(())
            })
        }),
        object::<_, Connection<domain::Message>>(
            "messages",
            "The messages that the caller has not deleted, the newest first.",
            |it: &Self, entry, out| {
                let arguments = entry.page().map_err(|error| out.located(error))?;
                let page = service::messages::page(&out.scope.op, it.id, arguments);
                let page = page.map_err(|error| out.fail(error, entry))?;
                out.linked(&MessagesOf { conversation_id: it.id, page }, entry)
            },
        )
        .paged([
            "How many from the newest on.",
            "Only what is older than this cursor.",
            "How many from the oldest on.",
            "Only what is newer than this cursor.",
        ]),
    ];
}

impl Seen {
    /// A conversation that is known to be there and has not been read.
    pub(super) fn known(id: ConversationId, peer_id: UserId) -> Self {
        Self { id, peer_id, share: None }
    }

    pub(super) fn id(&self) -> ConversationId {
        self.id
    }

    fn share<'a>(
        &self,
        out: &mut Writer<'a>,
        entry: &Entry<'a>,
        write: impl FnOnce(&mut Writer<'a>, &domain::Conversation) -> Outcome,
    ) -> Outcome {
        match &self.share {
            Some(share) => write(out, share),
            None => out.with(&self.id, entry, write),
        }
    }
}

impl From<domain::Conversation> for Seen {
    fn from(share: domain::Conversation) -> Self {
        Self { id: share.id, peer_id: share.peer_id, share: Some(share) }
    }
}
