//! The feed: every event of a user's mailbox in the order of commits, none missed, none twice.
//!
//! The database is the truth and a cursor is a place in it. The bus merely says when to look again, and where it
//! does not, the feed looks by itself after a while.

use std::collections::VecDeque;

use futures_util::{Stream, stream};

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

/// All events behind a cursor, then CAUGHT_UP, then each new one as it commits.
pub fn follow(
    op: Operation,
    after: Option<&str>,
) -> Result<impl Stream<Item = Result<Delivery, Error>> + use<>, Error> {
    let user_id = op.viewer()?.user_id;
    let position = match after {
        Some(cursor) => op.open_cursor(LIST, "after", cursor)?,
        None => 0,
    };
    // Listening begins before the first look, so that nothing falls between the two.
    let news = op.backend.bus.subscribe(Topic::Mailbox(user_id));
    let feed = Feed { op, news, position, ready: VecDeque::new(), is_caught_up: false };
    Ok(stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(delivery) => Some((Ok(delivery), Some(feed))),
            // What cannot be read now cannot be read behind it either: said once, and the stream ends.
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Feed {
    op: Operation,
    news: Subscription,
    position: i64,
    ready: VecDeque<FeedEvent>,
    is_caught_up: bool,
}

impl Feed {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.position = event.sequence;
                return Ok(self.delivery(event));
            }
            self.ready = self.read_on_a_task().await?;
            if !self.ready.is_empty() {
                continue;
            }
            if !self.is_caught_up {
                self.is_caught_up = true;
                return Ok(self.delivery(marker(FeedEventKind::CaughtUp, self.position)));
            }
            let poll = self.op.backend.poll();
            tokio::select! {
                () = self.news.news() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    /// Reads on, waiting for a database that is away.
    ///
    /// On a task, because a stream whose reader is slow is not polled: it would keep a connection of the pool from
    /// everyone else for as long.
    async fn read_on_a_task(&self) -> Result<VecDeque<FeedEvent>, Error> {
        loop {
            let reading = tokio::spawn(read(self.op.clone(), self.position));
            match reading.await.map_err(|error| Error::Internal { cause: error.to_string() })? {
                Err(Error::Unavailable { cause }) => {
                    tracing::warn!(cause, "a feed waits for the database");
                    tokio::time::sleep(self.op.backend.unassisted_poll()).await;
                }
                other => return other,
            }
        }
    }

    fn delivery(&self, event: FeedEvent) -> Delivery {
        Delivery { cursor: self.op.seal_cursor(LIST, &event.sequence), event }
    }
}

/// The next events behind a position, with a GAP before them where retention has taken some.
async fn read(op: Operation, position: i64) -> Result<VecDeque<FeedEvent>, Error> {
    let (db, limit) = (op.backend.store.db(), op.backend.config.feed.batch_size.into());
    let stored = store::mailboxes::find_after(db, op.viewer()?.user_id, position, limit).await?;
    let Some(first) = stored.first() else { return Ok(VecDeque::new()) };
    // Places are gapless as they are taken; a hole can only be what retention has removed.
    let gap = (first.sequence > position + 1).then(|| marker(FeedEventKind::Gap, first.sequence - 1));

    let mut ids: Vec<_> = stored.iter().map(|event| event.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = messages::find_many(&op, &ids).await?;
    let events = stored.into_iter().map(|event| FeedEvent {
        sequence: event.sequence,
        kind: event.kind,
        message_id: Some(event.message_id),
        message: found.get(&event.message_id).cloned(),
    });
    Ok(gap.into_iter().chain(events).collect())
}

fn marker(kind: FeedEventKind, sequence: i64) -> FeedEvent {
    FeedEvent { sequence, kind, message_id: None, message: None }
}
