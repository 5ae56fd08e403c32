//! Sources of the message feed's events, and the positions of event streams.

use std::task::{Poll, ready};
use std::{sync::Arc, task};

use futures_util::{StreamExt, stream::BoxStream};
use parking_lot::{Mutex, MutexGuard};

use crate::domain;
use crate::engine::EventSource;
use crate::graphql::error::Result;
use crate::service::{self, feed::Delivery};

/// Position of a stream of Server-Sent Events: its client's last event, and the current event's cursor. The cursor
/// becomes the id of the event even if the client does not select it.
pub struct StreamPosition {
    last_event_id: Option<String>,
    cursor: Mutex<Option<String>>,
}

/// Source of a message feed's events. It outlives the resolvers of single events.
#[derive(Default)]
pub struct FeedSource(Mutex<Source>);

#[derive(Default)]
struct Source {
    feed: Option<BoxStream<'static, FeedItem>>,
    /// An event that arrived while no resolver polled the source.
    next: Option<FeedItem>,
    is_waiting: bool,
    is_caught_up: bool,
}

pub(crate) type FeedItem = std::result::Result<Arc<Delivery>, service::Error>;

impl StreamPosition {
    /// Creates the position of a client that received this event last (`Last-Event-ID`).
    #[must_use]
    pub fn after(last_event_id: Option<String>) -> Arc<Self> {
        Arc::new(Self { last_event_id, cursor: Mutex::default() })
    }

    /// Returns the cursor of the last event that the client received.
    pub(crate) fn last_event_id(&self) -> Option<String> {
        self.last_event_id.clone()
    }

    /// Takes the cursor of the current event.
    pub fn take_cursor(&self) -> Option<String> {
        self.cursor.lock().take()
    }

    /// Sets the cursor of the current event.
    pub(crate) fn note(&self, cursor: &str) {
        *self.cursor.lock() = Some(cursor.to_owned());
    }
}

impl FeedSource {
    /// Polls for the next event.
    pub(crate) fn poll_next(&self, cx: &mut task::Context<'_>) -> Poll<Option<FeedItem>> {
        self.source().poll_next(cx)
    }

    /// Starts the feed, unless it runs already.
    pub(crate) fn begin(&self, feed: impl FnOnce() -> Result<BoxStream<'static, FeedItem>>) -> Result<()> {
        let mut source = self.source();
        if source.feed.is_none() {
            source.feed = Some(feed()?);
        }
        Ok(())
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock()
    }
}

impl EventSource for FeedSource {
    fn is_idle(&self) -> bool {
        self.source().is_waiting
    }

    fn poll_ready(&self, cx: &mut task::Context<'_>) -> Poll<bool> {
        let mut source = self.source();
        let next = ready!(source.poll_next(cx));
        source.next = next;
        Poll::Ready(source.next.is_some())
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

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures_util::stream::{self, poll_fn};

    use super::*;

    fn delivery(kind: domain::FeedEventKind, sequence: i64) -> Arc<Delivery> {
        let event = domain::FeedEvent { sequence, kind, message_id: None, message: None };
        Arc::new(Delivery { cursor: sequence.to_string(), event, memo: OnceLock::new(), memory: None })
    }

    #[test]
    fn a_feed_waits_once_it_has_caught_up_and_keeps_what_comes_then() {
        let (kinds, mut polls) = ([domain::FeedEventKind::Sent, domain::FeedEventKind::CaughtUp], 0);
        // Pending before and after the end of the backlog.
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

        assert_eq!((next(cx), source.is_idle()), (Poll::Ready(Some(1)), false));
        assert_eq!((next(cx), source.is_idle()), (Poll::Pending, false), "the backlog is still being read");
        assert_eq!((next(cx), source.is_idle()), (Poll::Ready(Some(1)), false));
        assert_eq!((next(cx), source.is_idle()), (Poll::Pending, true));
        assert_eq!((source.poll_ready(cx), source.is_idle()), (Poll::Ready(true), false));
        assert_eq!(next(cx), Poll::Ready(Some(2)));
        assert_eq!(source.poll_ready(cx), Poll::Ready(false));
    }
}
