//! The feed: every event of a user's mailbox, exactly once and in commit order.
//!
//! The database is authoritative, and a cursor is a position in it. The bus only sends hints to read again. Without a
//! hint, the feed polls.

mod delivery;
mod reads;

use std::{collections::VecDeque, sync::Arc};

use futures_util::{StreamExt, stream, stream::BoxStream};

pub use self::{delivery::Delivery, reads::Reads};
use crate::bus::Subscription;
use crate::domain::{FeedEvent, FeedEventKind, event::Topic, message::MESSAGE_MAX_BYTES};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::feed::delivery::LIST;
use crate::service::feed::reads::{Batch, Found};
use crate::service::{Error, RequestContext, messages};
use crate::store::{self, mailboxes::StoredEvent};

/// Number of maximum-size messages that a stream buffers for its reader. Smaller messages are limited to as many bytes.
///
/// Streams of one user share the buffered events.
const LARGEST_KEPT: usize = 4;

/// A page of events after a cursor.
pub struct FeedPage {
    /// The events, in order.
    pub deliveries: Vec<Arc<Delivery>>,
    /// Cursor that resumes after the last event.
    pub end_cursor: String,
    /// Whether more events existed when the page was read.
    pub has_more: bool,
}

/// Returns a page of the events that [`follow`] streams, without CAUGHT_UP.
pub async fn page(context: &RequestContext, after: Option<&str>, first: Option<i32>) -> Result<FeedPage, Error> {
    let position = position(context, after)?;
    let limit = match first {
        Some(count) => context.limit("first", count)?,
        None => context.backend.config.graphql.default_page_size,
    };
    let mut events = to_events(context, position, find_after(context, position, limit + 1).await?).await?;
    if events.is_empty() {
        events.extend(marker_at_end(context, position).await?);
    }
    let has_more = events.len() > limit;
    events.truncate(limit);
    let end = events.last().map_or(position, |event| event.sequence);
    let deliveries = events.into_iter().map(|event| Delivery::new(context, event)).collect();
    Ok(FeedPage { deliveries, end_cursor: context.seal_cursor(LIST, &end), has_more })
}

/// Streams all events after a cursor, then CAUGHT_UP, then each new event as it commits.
///
/// Boxed, because an async caller that moves the stream would reserve its size once per move. The benchmark `sockets`
/// guards this.
pub fn follow(
    context: RequestContext,
    after: Option<&str>,
) -> Result<BoxStream<'static, Result<Arc<Delivery>, Error>>, Error> {
    let user_id = context.viewer()?.user_id;
    let position = position(&context, after)?;
    // Subscribes before the first read, so that no event is missed in between.
    let news = context.backend.bus.subscribe(Topic::Mailbox(user_id));
    let found = Found { events: VecDeque::new(), is_drained: false, began: news.latest() };
    let feed = Box::new(Feed { context, news, woken_by: None, position, found, is_caught_up: false });
    // The stream ends at its first error, because later events could not be read either.
    let deliveries = stream::try_unfold(feed, |mut feed| async move { Ok(Some((feed.next().await?, feed))) });
    Ok(deliveries.boxed())
}

struct Feed {
    context: RequestContext,
    news: Subscription,
    /// Number of the hint that the next read follows. `None` if the feed polls.
    woken_by: Option<u64>,
    position: i64,
    /// Events still to deliver. Once `found` is drained, hints announce any later events.
    found: Found,
    is_caught_up: bool,
}

impl Feed {
    async fn next(&mut self) -> Result<Arc<Delivery>, Error> {
        loop {
            if let Some(delivery) = self.found.events.pop_front() {
                self.position = delivery.event.sequence;
                self.record_lag(&delivery.event);
                return Ok(delivery);
            }
            if self.found.is_drained && !self.is_caught_up {
                self.is_caught_up = true;
                return Ok(Delivery::new(&self.context, marker(FeedEventKind::CaughtUp, self.position)));
            }
            if self.found.is_drained {
                self.woken_by = self.wait_for_news().await;
            }
            self.found = retry_while_unavailable(&self.context.backend, "a feed", || self.read_next()).await?;
        }
    }

    /// Waits for a hint that the latest read does not cover, or for the poll interval. Returns the hint's number.
    async fn wait_for_news(&mut self) -> Option<u64> {
        // Releases the memory of a batch, since the wait can be long.
        self.found.events = VecDeque::new();
        let timer = tokio::time::sleep(self.context.backend.poll_interval());
        tokio::pin!(timer);
        loop {
            tokio::select! {
                number = self.news.news() => if number > self.found.began {
                    return Some(number);
                },
                () = &mut timer => return None,
            }
        }
    }

    /// Records the delivery delay of a message if the reader has caught up.
    fn record_lag(&self, event: &FeedEvent) {
        if let (true, FeedEventKind::Sent, Some(message)) = (self.is_caught_up, event.kind, &event.message) {
            let backend = &self.context.backend;
            backend.counted.feed_lag.observe((backend.source.now() - message.created_at).to_std().unwrap_or_default());
        }
    }

    /// Reads the next events. Feeds of one user share a read once they have caught up.
    async fn read_next(&self) -> Result<Found, Error> {
        let (reads, user_id) = (&self.context.backend.feeds, self.context.viewer()?.user_id);
        let (position, began) = (self.position, self.news.latest());
        if !self.is_caught_up {
            let Batch { events, is_drained } = spawn_read(read(self.context.clone(), position, false)).await?;
            return Ok(Found { events: events.into(), is_drained, began });
        }
        if let Some(news) = self.woken_by
            && let Some(found) = reads.join(user_id, position, news).await
        {
            return Ok(found);
        }
        // Takes the latest hint number again, because joining may have waited.
        reads.begin(user_id, position, self.news.latest(), read(self.context.clone(), position, true)).await
    }
}

/// Reads a batch of events after a position.
async fn read(context: RequestContext, position: i64, is_caught_up: bool) -> Result<Batch, Error> {
    let limit: usize = context.backend.config.feed.batch_size.into();
    let mut stored = find_after(&context, position, limit).await?;
    let kept = count_kept(&context, &stored).await?;
    let is_drained = kept == stored.len() && kept < limit;
    stored.truncate(kept);
    let mut events = to_events(&context, position, stored).await?;
    if events.is_empty() && !is_caught_up {
        events.extend(marker_at_end(&context, position).await?);
    }
    Ok(Batch { events: events.into_iter().map(|event| Delivery::new(&context, event)).collect(), is_drained })
}

/// Returns the position after which to read.
fn position(context: &RequestContext, after: Option<&str>) -> Result<i64, Error> {
    after.map_or(Ok(0), |cursor| context.open_cursor(LIST, "after", cursor))
}

/// Returns the next events after a position, without their messages.
async fn find_after(context: &RequestContext, position: i64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
    let (db, user_id) = (context.backend.store.db(), context.viewer()?.user_id);
    Ok(store::mailboxes::find_after(db, user_id, position, limit as u64).await?)
}

/// Returns how many of these events a stream may buffer with their messages, at least one for progress.
async fn count_kept(context: &RequestContext, stored: &[StoredEvent]) -> Result<usize, Error> {
    if stored.len() <= LARGEST_KEPT {
        return Ok(stored.len());
    }
    let ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    let lengths = store::messages::find_lengths(context.backend.store.db(), context.viewer()?.user_id, &ids).await?;
    let ends = stored.iter().scan(0, |end, event| {
        *end += lengths.get(&event.message_id).copied().unwrap_or_default();
        Some(*end)
    });
    Ok(ends.take_while(|end| *end <= LARGEST_KEPT * MESSAGE_MAX_BYTES).count().max(1))
}

/// Adds the messages to stored events. Inserts a GAP before them if retention removed earlier events.
async fn to_events(context: &RequestContext, position: i64, stored: Vec<StoredEvent>) -> Result<Vec<FeedEvent>, Error> {
    let Some(first) = stored.first() else { return Ok(Vec::new()) };
    // Sequence numbers are assigned without gaps, so only retention can have caused one.
    let gap = (first.sequence > position + 1).then(|| marker(FeedEventKind::Gap, first.sequence - 1));

    let mut ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = messages::find_many(context, &ids).await?;
    let events = stored.into_iter().map(|event| FeedEvent {
        sequence: event.sequence,
        kind: event.kind,
        message_id: Some(event.message_id),
        message: found.get(&event.message_id).cloned(),
    });
    Ok(gap.into_iter().chain(events).collect())
}

/// Returns a GAP if a position has no later events because retention removed them. Fails with CURSOR_EXPIRED if the
/// position never existed, because the database was restored to an earlier state.
async fn marker_at_end(context: &RequestContext, position: i64) -> Result<Option<FeedEvent>, Error> {
    let mailbox = store::mailboxes::find(context.backend.store.db(), context.viewer()?.user_id).await?;
    let Some(mailbox) = mailbox else { return Ok(None) };
    if position > mailbox.last_sequence {
        return Err(Error::CursorExpired);
    }
    let is_gap = position + 1 < mailbox.oldest_sequence;
    Ok(is_gap.then(|| marker(FeedEventKind::Gap, mailbox.oldest_sequence - 1)))
}

fn marker(kind: FeedEventKind, sequence: i64) -> FeedEvent {
    FeedEvent { sequence, kind, message_id: None, message: None }
}
