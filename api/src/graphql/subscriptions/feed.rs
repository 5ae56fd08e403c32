//! The message feed's events.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{self, Poll, ready},
};

use async_graphql::{Context, Enum, ID, Subscription};
use futures_util::{
    Stream, StreamExt,
    stream::{BoxStream, poll_fn},
};

use crate::{
    domain,
    engine::object::{CachedJson, Field, JsonObject, Scoped, SelectedFields, Writer, leaf, object},
    graphql::{
        error::{Error, Result},
        request_scope::Scope,
        types::message::Message,
    },
    service::{
        self,
        feed::{Delivery, FeedPage},
    },
};

/// Where a stream of Server-Sent Events is: what its client has seen, and the cursor of the event under way, which
/// becomes that event's id whether or not the client asks for it.
pub struct StreamPosition {
    last_event_id: Option<String>,
    cursor: Mutex<Option<String>>,
}

/// The feed of a subscription, beside what the library holds to answer its events: that may be dropped while there are
/// none, and made again.
#[derive(Default)]
pub struct FeedSource(Mutex<Source>);

#[derive(Default)]
struct Source {
    feed: Option<BoxStream<'static, FeedItem>>,
    /// What has come while nobody was there to answer it.
    next: Option<FeedItem>,
    is_waiting: bool,
    is_caught_up: bool,
}

type FeedItem = std::result::Result<Arc<Delivery>, service::Error>;

/// What never changes of the users in an event. Anything else is read for each feed, or one that is late would tell of
/// other keys than those that its client has heard of meanwhile.
const LASTING: &[&str] = &["__typename", "id", "username", "createdAt"];

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

impl StreamPosition {
    /// The position of a client that has seen this event last (`Last-Event-ID`).
    #[must_use]
    pub fn behind(last_event_id: Option<String>) -> Arc<Self> {
        Arc::new(Self { last_event_id, cursor: Mutex::default() })
    }

    /// The cursor of the event that has just come, once.
    pub fn take_cursor(&self) -> Option<String> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, cursor: &str) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor.to_owned());
    }
}

impl FeedSource {
    /// Whether there is a feed that has told all there was and had nothing new when it was last asked.
    pub fn is_waiting(&self) -> bool {
        self.source().is_waiting
    }

    /// Waits for something to tell, which is told when the feed is asked next; false at the end.
    pub fn poll_ready(&self, cx: &mut task::Context<'_>) -> Poll<bool> {
        let mut source = self.source();
        let next = ready!(source.poll_next(cx));
        source.next = next;
        Poll::Ready(source.next.is_some())
    }

    fn poll_next(&self, cx: &mut task::Context<'_>) -> Poll<Option<FeedItem>> {
        self.source().poll_next(cx)
    }

    /// Begins the feed, unless it is one that goes on.
    fn begin(&self, feed: impl FnOnce() -> Result<BoxStream<'static, FeedItem>>) -> Result<()> {
        let mut source = self.source();
        if source.feed.is_none() {
            source.feed = Some(feed()?);
        }
        Ok(())
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn poll_next(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<FeedItem>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
        let polled = feed.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(delivery))) = &polled {
            self.is_caught_up |= delivery.event.kind == domain::FeedEventKind::CaughtUp;
        }
        self.is_waiting = self.is_caught_up && polled.is_pending();
        polled
    }
}

impl JsonObject for Arc<Delivery> {
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
    fn kept(&self, plan: &SelectedFields<'_>) -> Option<&CachedJson> {
        plan.below().flat_map(SelectedFields::below).all(|user| user.is_within(LASTING)).then_some(&self.written)
    }
}

impl JsonObject for FeedPage {
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

/// Events of the caller's mailbox.
#[derive(Default)]
pub struct FeedSubscription;

/// Events of the caller's mailbox.
#[Subscription]
impl FeedSubscription {
    /// Every event of the caller's mailbox in order, none missed and none twice.
    ///
    /// First those behind `after` (all that are kept, if it is left out), then CAUGHT_UP, then each as it commits.
    async fn message_feed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of the last event that was seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<MessageFeedEvent>> + use<>> {
        let scope = Scope::of(ctx).clone();
        let position = ctx.data_opt::<Arc<StreamPosition>>().cloned();
        // A browser that reconnects repeats the address it began with, and says in a header how far it has come since.
        let after = position.as_ref().and_then(|position| position.last_event_id.clone()).or(after);
        let source = ctx.data_opt::<Arc<FeedSource>>().cloned().unwrap_or_default();
        source.begin(|| Ok(service::feed::follow(scope.context.clone(), after.as_deref())?))?;
        Ok(poll_fn(move |cx| source.poll_next(cx)).map(move |delivery| {
            let delivery = delivery.map_err(Error::from)?;
            if let Some(position) = &position {
                position.note(&delivery.cursor);
            }
            Ok(MessageFeedEvent::new(&scope, delivery))
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures_util::stream;

    use super::*;

    fn delivery(kind: domain::FeedEventKind, sequence: i64) -> Arc<Delivery> {
        let event = domain::FeedEvent { sequence, kind, message_id: None, message: None };
        Arc::new(Delivery { cursor: sequence.to_string(), event, written: OnceLock::new() })
    }

    #[test]
    fn a_feed_waits_once_it_has_caught_up_and_keeps_what_comes_then() {
        let (kinds, mut polls) = ([domain::FeedEventKind::Sent, domain::FeedEventKind::CaughtUp], 0);
        // Pending before the end of the backlog and behind it.
        let steps = poll_fn(move |_| {
            polls += 1;
            match polls {
                1 => Poll::Ready(Some(Ok(delivery(kinds[0], 1)))),
                3 => Poll::Ready(Some(Ok(delivery(kinds[1], 1)))),
                5 => Poll::Ready(Some(Ok(delivery(kinds[0], 2)))),
                6 => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        let source = FeedSource::default();
        assert!(source.begin(|| Ok(steps.boxed())).is_ok());
        assert!(source.begin(|| Ok(stream::empty().boxed())).is_ok(), "it goes on with its own");
        let cx = &mut task::Context::from_waker(task::Waker::noop());
        let next =
            |cx: &mut task::Context<'_>| source.poll_next(cx).map(|item| item.map(|item| item.unwrap().event.sequence));

        assert_eq!((next(cx), source.is_waiting()), (Poll::Ready(Some(1)), false));
        assert_eq!((next(cx), source.is_waiting()), (Poll::Pending, false), "the backlog is still being read");
        assert_eq!((next(cx), source.is_waiting()), (Poll::Ready(Some(1)), false));
        assert_eq!((next(cx), source.is_waiting()), (Poll::Pending, true));
        assert_eq!((source.poll_ready(cx), source.is_waiting()), (Poll::Ready(true), false));
        assert_eq!(next(cx), Poll::Ready(Some(2)));
        assert_eq!(source.poll_ready(cx), Poll::Ready(false));
    }
}
