//! Events of the message feed.

use std::sync::Arc;

use async_graphql::{Enum, ID};

use crate::domain;
use crate::engine::object::{CachedJson, Field, JsonObject, Scoped, SelectedFields, Writer, leaf, object};
use crate::graphql::{request_scope::RequestScope, types::message::Message};
use crate::service::feed::{Delivery, FeedPage};

/// One event of the caller's mailbox.
pub(crate) type MessageFeedEvent = Scoped<Arc<Delivery>>;

/// Some events of the caller's mailbox, in order.
pub(crate) type MessageFeedPage = Scoped<FeedPage>;

/// What an event of the feed says.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "domain::FeedEventKind")]
pub(crate) enum MessageFeedEventKind {
    /// A message was sent, by the caller or to it.
    Sent,
    /// The messages up to this one were marked read by whom they are for.
    Read,
    /// A message was deleted on the caller's side.
    Deleted,
    /// The backlog has ended; what follows is live.
    CaughtUp,
    /// Events before this point are no longer kept: read the conversations anew.
    Gap,
}

impl JsonObject for Arc<Delivery> {
    type Context = RequestScope;
    const NAME: &'static str = "MessageFeedEvent";
    const DESCRIPTION: &'static str = "One event of the caller's mailbox.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, String>("cursor", "Resumes behind this event; opaque, and good for this user only.", |it, out| {
            out.text(&it.cursor);
        }),
        leaf::<_, MessageFeedEventKind>("kind", "What happened.", |it, out| {
            out.choice(MessageFeedEventKind::from(it.event.kind));
        }),
        leaf::<_, Option<ID>>("messageId", "The message it happened to; null for CAUGHT_UP and GAP.", |it, out| {
            out.or_null(it.event.message_id, Writer::plain);
        }),
        object::<_, Option<Message>>(
            "message",
            "That message as it is now; null for CAUGHT_UP and GAP, and once the caller has deleted it.",
            |it: &Self, entry, out| out.object_or_null(it.event.message.as_ref(), entry),
        ),
    ];

    /// Only its user's feeds share an event, and none of its own fields makes a difference between sessions.
    fn cached_json(&self, fields: &SelectedFields<'_>) -> Option<&CachedJson> {
        // Users may change while their message does not. A feed that is late would show keys that its client knows to
        // be old.
        let are_constant = fields.below().flat_map(SelectedFields::below).all(SelectedFields::are_constant);
        are_constant.then(|| self.memo.get_or_init(|| Box::new(CachedJson::new())).downcast_ref())?
    }
}

impl JsonObject for FeedPage {
    type Context = RequestScope;
    const NAME: &'static str = "MessageFeedPage";
    const DESCRIPTION: &'static str = "Some events of the caller's mailbox, in order.";
    const FIELDS: &'static [Field<Self>] = &[
        object::<_, Vec<MessageFeedEvent>>(
            "events",
            "The events; never CAUGHT_UP, which is what `hasMore` says.",
            |page: &Self, entry, out| out.list(&page.deliveries, |out, event| out.object(event, &entry.below)),
        ),
        leaf::<_, String>("endCursor", "Resumes behind these events, also when there are none.", |page, out| {
            out.text(&page.end_cursor);
        }),
        leaf::<_, bool>("hasMore", "Whether there were more when these were read.", |page, out| {
            out.json(&page.has_more);
        }),
    ];
}
