//! Conversations, as seen by one of their two members.

use async_graphql::ID;

use crate::domain;
use crate::engine::object::{Field, JsonObject, Outcome, Scoped, SelectedField, Writer, leaf, lookup, object};
use crate::graphql::loaders::MessagesOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::types::connection::Connection;
use crate::graphql::types::message::Message;
use crate::graphql::types::user::User;
use crate::service::{self, conversations::ConversationRef};

/// A conversation, as the caller sees it.
pub(crate) type Conversation = Scoped<ConversationRef>;

impl JsonObject for ConversationRef {
    type Context = RequestScope;
    const NAME: &'static str = "Conversation";
    const DESCRIPTION: &'static str = "The caller's conversation with another user, or with the caller's own account.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes. Both members see the same id.", |it, out| {
            out.plain(it.id);
        }),
        object::<_, User>(
            "peer",
            "Other member. The caller, if the conversation has no other member.",
            |it: &Self, entry, out| out.linked(&it.peer_id, entry),
        ),
        object::<_, Option<Message>>(
            "lastMessage",
            "Newest message. Null if the caller has deleted all messages.",
            |it: &Self, entry, out| match &it.last_message {
                Some(message) => out.object_or_null(Some(message), entry),
                None => share(it, entry, out, |out, share| out.linked_or_null(share.last_message_id.as_ref(), entry)),
            },
        ),
        lookup::<_, i64>(
            "unreadCount",
            "Number of messages to the caller that are not marked read.",
            |it: &Self, entry, out| {
                share(it, entry, out, |out, share| {
                    out.json(&share.unread_count);
                    Ok(())
                })
            },
        ),
        object::<_, Connection<domain::Message>>(
            "messages",
            "Messages that the caller has not deleted, newest first. A page ends early at 1 MiB of ciphertext.",
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
            "Number of messages, starting with the newest.",
            "Only messages after this cursor, which are older.",
            "Number of messages, starting with the oldest. Not together with `first`.",
            "Only messages before this cursor, which are newer.",
        ]),
    ];
}

/// Writes from the caller's view of a conversation. Loads the view unless it was read with the conversation.
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
