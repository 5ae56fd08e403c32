//! The feed: every event of a user's mailbox, exactly once and in commit order.
//!
//! The database is authoritative, and a cursor is a position in it. The bus only sends hints to read again. Without a
//! hint, the feed polls.

mod delivery;
mod reads;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::SemaphorePermit;

pub use self::{delivery::Delivery, reads::Reads};
use crate::budget::{Holder, Reservation};
use crate::bus::Subscription;
use crate::domain::message::{MESSAGE_MAX_BYTES, PAGE_MAX_BYTES};
use crate::domain::{FeedEvent, FeedEventKind, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::feed::delivery::LIST;
use crate::service::feed::reads::{Batch, Found};
use crate::service::{Error, RequestContext};
use crate::store::{self, mailboxes::StoredEvent};

/// Number of maximum-size messages that a stream buffers for its reader. Smaller messages are limited to as many bytes.
///
/// Streams of one user share the buffered events.
const LARGEST_KEPT: usize = 4;

/// Copies of an event's ciphertext while readers wait: the message, and its JSON in Base64 for all of them.
const COPIES: usize = 3;
/// Bytes of an event beside its message.
const EVENT_BYTES: usize = 1024;
/// Number of backlogs that a node reads at once. The others wait without cost.
pub(super) const BACKLOG_READS: usize = 32;

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
    let fitting = count_within(events.iter().map(ciphertext_bytes), PAGE_MAX_BYTES);
    let is_cut = fitting < events.len();
    events.truncate(fitting);
    context.count_loaded(events.iter().filter_map(|event| event.message.as_ref()))?;
    if events.is_empty() {
        events.extend(marker_at_end(context, position).await?);
    }
    let has_more = is_cut || events.len() > limit;
    events.truncate(limit);
    let end = events.last().map_or(position, |event| event.sequence);
    let deliveries = events.into_iter().map(|event| Delivery::new(context, event, None)).collect();
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
                return Ok(Delivery::new(&self.context, marker(FeedEventKind::CaughtUp, self.position), None));
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
    let _turn = wait_for_turn(&context, is_caught_up).await?;
    let mut stored = find_after(&context, position, limit).await?;
    let kept = count_buffered(&context, &stored).await?;
    let is_drained = kept == stored.len() && kept < limit;
    stored.truncate(kept);
    let mut events = to_events(&context, position, stored).await?;
    if events.is_empty() && !is_caught_up {
        events.extend(marker_at_end(&context, position).await?);
    }
    let memory = reserve(&context, &events)?;
    let delivery = |event| Delivery::new(&context, event, Some(Arc::clone(&memory)));
    Ok(Batch { events: events.into_iter().map(delivery).collect(), is_drained })
}

/// Waits until the user and the node have memory for more events. Backlogs are read by turns, so that few of them reserve
/// at the same time.
async fn wait_for_turn(context: &RequestContext, is_caught_up: bool) -> Result<Option<SemaphorePermit<'_>>, Error> {
    let (backend, holder) = (&context.backend, Holder::User(context.viewer()?.user_id));
    loop {
        let turn = if is_caught_up { None } else { backend.backlog_reads.acquire().await.ok() };
        if backend.memory.has_room(holder) {
            return Ok(turn);
        }
        drop(turn);
        backend.memory.until_room(holder).await;
    }
}

/// Reserves memory for events until every reader has received them.
fn reserve(context: &RequestContext, events: &[FeedEvent]) -> Result<Arc<Reservation>, Error> {
    let bytes = events.iter().map(|event| EVENT_BYTES + COPIES * ciphertext_bytes(event)).sum();
    let mut memory = context.backend.memory.nothing(Holder::User(context.viewer()?.user_id));
    memory.grow_required(bytes);
    Ok(Arc::new(memory))
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

/// Returns how many of these events a stream buffers with their messages.
async fn count_buffered(context: &RequestContext, stored: &[StoredEvent]) -> Result<usize, Error> {
    if stored.len() <= LARGEST_KEPT {
        return Ok(stored.len());
    }
    let ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    let lengths = store::messages::find_lengths(context.backend.store.db(), context.viewer()?.user_id, &ids).await?;
    let lengths = stored.iter().map(|event| lengths.get(&event.message_id).copied().unwrap_or_default());
    Ok(count_within(lengths, LARGEST_KEPT * MESSAGE_MAX_BYTES))
}

/// Returns how many items have at most `max_bytes` together. At least one, so that readers progress.
fn count_within(lengths: impl Iterator<Item = usize>, max_bytes: usize) -> usize {
    let ends = lengths.scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    ends.take_while(|end| *end <= max_bytes).count().max(1)
}

fn ciphertext_bytes(event: &FeedEvent) -> usize {
    event.message.as_ref().map_or(0, |message| message.encrypted_content.len())
}

/// Adds the messages to stored events. Inserts a GAP before them if retention removed earlier events.
async fn to_events(context: &RequestContext, position: i64, stored: Vec<StoredEvent>) -> Result<Vec<FeedEvent>, Error> {
    let Some(first) = stored.first() else { return Ok(Vec::new()) };
    // Sequence numbers are assigned without gaps, so only retention can have caused one.
    let gap = (first.sequence > position + 1).then(|| marker(FeedEventKind::Gap, first.sequence - 1));

    let mut ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = store::messages::find_many(context.backend.store.db(), context.viewer()?.user_id, &ids).await?;
    let found: HashMap<_, _> = found.into_iter().map(|message| (message.id, message)).collect();
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
