//! Events of the message feed.

use std::sync::Arc;

use async_graphql::{Enum, ID};

use crate::domain;
use crate::engine::object::{CachedJson, Field, JsonObject, Scoped, SelectedFields, Writer, leaf, object};
use crate::graphql::{request_scope::RequestScope, types::message::Message};
use crate::service::feed::{Delivery, FeedPage};

/// An event of the message feed.
pub(crate) type MessageFeedEvent = Scoped<Arc<Delivery>>;

/// A page of the message feed.
pub(crate) type MessageFeedPage = Scoped<FeedPage>;

/// Kind of an event in the message feed.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::FeedEventKind")]
pub(crate) enum MessageFeedEventKind {
    /// The caller sent or received the message.
    Sent,
    /// The recipient marked all messages up to this one read.
    Read,
    /// The caller deleted the message. The other member may still have it.
    Deleted,
    /// The backlog ends here. All later events are live.
    CaughtUp,
    /// Events before this one are no longer kept. Load the conversations again.
    Gap,
}

impl JsonObject for Arc<Delivery> {
    type Context = RequestScope;
    const NAME: &'static str = "MessageFeedEvent";
    const DESCRIPTION: &'static str = "An event of the caller's message feed.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, String>(
            "cursor",
            "Opaque position of the event. Pass it as `after` to resume. Works for this user only.",
            |it, out| {
                out.text(&it.cursor);
            },
        ),
        leaf::<_, MessageFeedEventKind>("kind", "Kind of the event.", |it, out| {
            out.choice(MessageFeedEventKind::from(it.event.kind));
        }),
        leaf::<_, Option<ID>>("messageId", "Id of the message. Null for `CAUGHT_UP` and `GAP`.", |it, out| {
            out.or_null(it.event.message_id, Writer::plain);
        }),
        object::<_, Option<Message>>(
            "message",
            "Message in its current state. Null for `CAUGHT_UP` and `GAP`, and if the caller has deleted it.",
            |it: &Self, entry, out| out.object_or_null(it.event.message.as_ref(), entry),
        ),
    ];

    /// Returns the JSON that all feeds of the user share. No field of an event differs between sessions.
    fn cached_json(&self, fields: &SelectedFields<'_>) -> Option<&CachedJson> {
        // A user may change while the message does not. A late feed would then deliver keys that its client has already
        // replaced.
        let are_constant = fields.below().flat_map(SelectedFields::below).all(SelectedFields::are_constant);
        are_constant.then(|| self.memo.get_or_init(|| Box::new(CachedJson::new())).downcast_ref())?
    }
}

impl JsonObject for FeedPage {
    type Context = RequestScope;
    const NAME: &'static str = "MessageFeedPage";
    const DESCRIPTION: &'static str = "A page of the caller's message feed.";
    const FIELDS: &'static [Field<Self>] = &[
        object::<_, Vec<MessageFeedEvent>>(
            "events",
            "Events in order. Never `CAUGHT_UP`: see `hasMore`.",
            |page: &Self, entry, out| out.list(&page.deliveries, |out, event| out.object(event, &entry.below)),
        ),
        leaf::<_, String>(
            "endCursor",
            "Opaque position after these events, from which to resume. Set even if there are none.",
            |page, out| {
                out.text(&page.end_cursor);
            },
        ),
        leaf::<_, bool>("hasMore", "Whether more events existed when these were read.", |page, out| {
            out.json(&page.has_more);
        }),
    ];
}
