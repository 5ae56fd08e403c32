//! The feed: every event of a user's mailbox in the order of commits, none missed, none twice.
//!
//! The database is the truth and a cursor is a place in it. The bus merely says when to look again, and where it
//! does not, the feed looks by itself after a while.

use std::collections::VecDeque;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{Error, Operation, messages};
use crate::{
    bus::Subscription,
    domain::{FeedEvent, FeedEventKind, event::Topic},
    store,
};

const LIST: &str = "feed";

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
    let mut events = read(op, position, limit as u64 + 1).await?;
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
            self.ready = self.read_on_a_task().await?;
            self.is_drained = self.ready.len() < self.op.backend.config.feed.batch_size.into();
        }
    }

    /// Counts how late a message comes to a reader who has seen all before it.
    fn note_lag(&self, event: &FeedEvent) {
        if let (true, FeedEventKind::Sent, Some(message)) = (self.is_caught_up, event.kind, &event.message) {
            let backend = &self.op.backend;
            backend.counted.feed_lag.observe((backend.source.now() - message.created_at).to_std().unwrap_or_default());
        }
    }

    /// Reads on, waiting for a database that is away.
    ///
    /// On a task, because a stream whose reader is slow is not polled: it would keep a connection of the pool from
    /// everyone else for as long.
    async fn read_on_a_task(&self) -> Result<VecDeque<FeedEvent>, Error> {
        loop {
            let (op, position, is_caught_up) = (self.op.clone(), self.position, self.is_caught_up);
            let reading = tokio::spawn(async move {
                let mut events = read(&op, position, op.backend.config.feed.batch_size.into()).await?;
                if events.is_empty() && !is_caught_up {
                    events.extend(beyond(&op, position).await?);
                }
                Ok(events)
            });
            match reading.await.map_err(|error| Error::Internal { cause: error.to_string() })? {
                Err(Error::Unavailable { cause }) => {
                    tracing::warn!(cause, "a feed waits for the database");
                    tokio::time::sleep(self.op.backend.unassisted_poll()).await;
                }
                other => return other,
            }
        }
    }
}

/// The place behind which to read.
fn position(op: &Operation, after: Option<&str>) -> Result<i64, Error> {
    after.map_or(Ok(0), |cursor| op.open_cursor(LIST, "after", cursor))
}

/// The next events behind a position, with a GAP before them where retention has taken some.
async fn read(op: &Operation, position: i64, limit: u64) -> Result<VecDeque<FeedEvent>, Error> {
    let stored = store::mailboxes::find_after(op.backend.store.db(), op.viewer()?.user_id, position, limit).await?;
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
