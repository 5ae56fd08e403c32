//! Conversations as one of their members sees them.

use async_graphql::ID;

use crate::domain;
use crate::engine::object::{Field, JsonObject, Outcome, Scoped, SelectedField, Writer, leaf, lookup, object};
use crate::graphql::loaders::MessagesOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::types::connection::Connection;
use crate::graphql::types::message::Message;
use crate::graphql::types::user::User;
use crate::service::{self, conversations::ConversationRef};

/// The exchange of messages with one other user, as the caller sees it.
pub(crate) type Conversation = Scoped<ConversationRef>;

impl JsonObject for ConversationRef {
    type Context = RequestScope;
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
            |it: &Self, entry, out| match &it.last_message {
                Some(message) => out.object_or_null(Some(message), entry),
                None => share(it, entry, out, |out, share| out.linked_or_null(share.last_message_id.as_ref(), entry)),
            },
        ),
        lookup::<_, i64>("unreadCount", "Messages to the caller that are not marked read.", |it: &Self, entry, out| {
            share(it, entry, out, |out, share| {
                out.json(&share.unread_count);
                Ok(())
            })
        }),
        object::<_, Connection<domain::Message>>(
            "messages",
            "The messages that the caller has not deleted, the newest first.",
            |it: &Self, entry, out| {
                let arguments = entry.page().map_err(|error| out.located(error))?;
                let page =
                    service::messages::page(out.context.request(), it.id, arguments, entry.selects_any(&["pageInfo"]));
                let page = page.map_err(|error| out.fail(error, entry))?;
                let key = MessagesOf { conversation_id: it.id, page };
                out.with(&key, entry, |out, page| out.object(&**page, &entry.below))
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

/// The caller's share in a conversation, which is loaded where it has not been read along.
fn share<'a>(
    it: &ConversationRef,
    entry: &SelectedField<'a>,
    out: &mut Writer<'a, RequestScope>,
    write: impl FnOnce(&mut Writer<'a, RequestScope>, &domain::Conversation) -> Outcome,
) -> Outcome {
    match &it.share {
        Some(share) => write(out, share),
        None => out.with(&it.id, entry, write),
    }
}
