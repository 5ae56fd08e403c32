//! The feed: every event of a user's mailbox in the order of commits, none missed, none twice.
//!
//! The database is the truth and a cursor is a place in it. The bus merely says when to look again, and where it
//! does not, the feed looks by itself after a while.

use std::collections::VecDeque;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{Error, Operation, messages, reading::patiently};
use crate::{
    bus::Subscription,
    domain::{FeedEvent, FeedEventKind, event::Topic, message::MESSAGE_MAX_BYTES},
    store::{self, mailboxes::StoredEvent},
};

const LIST: &str = "feed";
/// How many of the largest messages a stream keeps for its reader; of smaller ones it keeps no more bytes.
const LARGEST_KEPT: usize = 4;

/// An event and the cursor that resumes behind it.
pub struct Delivery {
    /// Opaque to clients.
    pub cursor: String,
    /// What happened.
    pub event: FeedEvent,
}

/// Some events behind a cursor.
pub struct FeedPage {
    /// In order.
    pub deliveries: Vec<Delivery>,
    /// Resumes behind the last of them.
    pub end_cursor: String,
    /// Whether there were more when they were read.
    pub has_more: bool,
}

/// The same events as [`follow`] tells, by the page, without CAUGHT_UP.
pub async fn page(op: &Operation, after: Option<&str>, first: Option<i32>) -> Result<FeedPage, Error> {
    let position = position(op, after)?;
    let limit = match first {
        Some(count) => op.limit("first", count)?,
        None => op.backend.config.graphql.default_page_size,
    };
    let mut events = told(op, position, find_after(op, position, limit + 1).await?).await?;
    if events.is_empty() {
        events.extend(beyond(op, position).await?);
    }
    let has_more = events.len() > limit;
    events.truncate(limit);
    let end = events.back().map_or(position, |event| event.sequence);
    let deliveries = events.into_iter().map(|event| delivery(op, event)).collect();
    Ok(FeedPage { deliveries, end_cursor: op.seal_cursor(LIST, &end), has_more })
}

/// All events behind a cursor, then CAUGHT_UP, then each new one as it commits.
///
/// In boxes, because whoever holds the stream moves it, and each move takes its room once more for as long as it lives.
pub fn follow(op: Operation, after: Option<&str>) -> Result<BoxStream<'static, Result<Delivery, Error>>, Error> {
    let user_id = op.viewer()?.user_id;
    let position = position(&op, after)?;
    // Listening begins before the first look, so that nothing falls between the two.
    let news = op.backend.bus.subscribe(Topic::Mailbox(user_id));
    let feed = Box::new(Feed { op, news, position, ready: VecDeque::new(), is_drained: false, is_caught_up: false });
    let deliveries = stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(delivery) => Some((Ok(delivery), Some(feed))),
            // What cannot be read now cannot be read behind it either: said once, and the stream ends.
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(deliveries.boxed())
}

struct Feed {
    op: Operation,
    news: Subscription,
    position: i64,
    ready: VecDeque<FeedEvent>,
    /// Whether all that there was has been read: what has come since is told by news.
    is_drained: bool,
    is_caught_up: bool,
}

impl Feed {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.position = event.sequence;
                self.note_lag(&event);
                return Ok(delivery(&self.op, event));
            }
            if self.is_drained && !self.is_caught_up {
                self.is_caught_up = true;
                return Ok(delivery(&self.op, marker(FeedEventKind::CaughtUp, self.position)));
            }
            if self.is_drained {
                let poll = self.op.backend.poll();
                tokio::select! {
                    () = self.news.news() => {}
                    () = tokio::time::sleep(poll) => {}
                }
            }
            self.read_on().await?;
        }
    }

    /// Counts how late a message comes to a reader who has seen all before it.
    fn note_lag(&self, event: &FeedEvent) {
        if let (true, FeedEventKind::Sent, Some(message)) = (self.is_caught_up, event.kind, &event.message) {
            let backend = &self.op.backend;
            backend.counted.feed_lag.observe((backend.source.now() - message.created_at).to_std().unwrap_or_default());
        }
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        let read = || {
            let (op, position, is_caught_up) = (self.op.clone(), self.position, self.is_caught_up);
            async move {
                let limit: usize = op.backend.config.feed.batch_size.into();
                let mut stored = find_after(&op, position, limit).await?;
                let kept = keepable(&op, &stored).await?;
                let is_drained = kept == stored.len() && kept < limit;
                stored.truncate(kept);
                let mut events = told(&op, position, stored).await?;
                if events.is_empty() && !is_caught_up {
                    events.extend(beyond(&op, position).await?);
                }
                Ok((events, is_drained))
            }
        };
        (self.ready, self.is_drained) = patiently(&self.op.backend, "a feed", read).await?;
        Ok(())
    }
}

/// The place behind which to read.
fn position(op: &Operation, after: Option<&str>) -> Result<i64, Error> {
    after.map_or(Ok(0), |cursor| op.open_cursor(LIST, "after", cursor))
}

/// The next events behind a position, without their messages.
async fn find_after(op: &Operation, position: i64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
    let (db, user_id) = (op.backend.store.db(), op.viewer()?.user_id);
    Ok(store::mailboxes::find_after(db, user_id, position, limit as u64).await?)
}

/// How many of these events a stream may keep with their messages: one always, so that it goes on.
async fn keepable(op: &Operation, stored: &[StoredEvent]) -> Result<usize, Error> {
    if stored.len() <= LARGEST_KEPT {
        return Ok(stored.len());
    }
    let ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    let lengths = store::messages::find_lengths(op.backend.store.db(), op.viewer()?.user_id, &ids).await?;
    let ends = stored.iter().scan(0, |end, event| {
        *end += lengths.get(&event.message_id).copied().unwrap_or_default();
        Some(*end)
    });
    Ok(ends.take_while(|end| *end <= LARGEST_KEPT * MESSAGE_MAX_BYTES).count().max(1))
}

/// Stored events behind a position as they are told, with a GAP before them where retention has taken some.
async fn told(op: &Operation, position: i64, stored: Vec<StoredEvent>) -> Result<VecDeque<FeedEvent>, Error> {
    let Some(first) = stored.first() else { return Ok(VecDeque::new()) };
    // Places are gapless as they are taken; a hole can only be what retention has removed.
    let gap = (first.sequence > position + 1).then(|| marker(FeedEventKind::Gap, first.sequence - 1));

    let mut ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = messages::find_many(op, &ids).await?;
    let events = stored.into_iter().map(|event| FeedEvent {
        sequence: event.sequence,
        kind: event.kind,
        message_id: Some(event.message_id),
        message: found.get(&event.message_id).cloned(),
    });
    Ok(gap.into_iter().chain(events).collect())
}

/// What a cursor means that has nothing behind it: the end, a GAP where retention has taken all, or a place that there
/// never was, because the database was restored from before it.
async fn beyond(op: &Operation, position: i64) -> Result<Option<FeedEvent>, Error> {
    let mailbox = store::mailboxes::find(op.backend.store.db(), op.viewer()?.user_id).await?;
    let Some(mailbox) = mailbox else { return Ok(None) };
    if position > mailbox.last_sequence {
        return Err(Error::CursorExpired);
    }
    let is_gap = position + 1 < mailbox.oldest_sequence;
    Ok(is_gap.then(|| marker(FeedEventKind::Gap, mailbox.oldest_sequence - 1)))
}

fn delivery(op: &Operation, event: FeedEvent) -> Delivery {
    Delivery { cursor: op.seal_cursor(LIST, &event.sequence), event }
}

fn marker(kind: FeedEventKind, sequence: i64) -> FeedEvent {
    FeedEvent { sequence, kind, message_id: None, message: None }
}
