//! Changes to users for their followers: new keys, a confirmed address, a deactivated account.
//!
//! The database numbers the changes in commit order, and a stream keeps the last number it has read. The bus only sends
//! hints to read.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, future::select_all, stream};
use tokio::time::{Instant, sleep};

use crate::bus::Subscription;
use crate::domain::{User, UserId, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn, spawn_read};
use crate::service::{Backend, Error, RequestContext};
use crate::store::{self, user_changes::Followed};

/// Changed users per read of one stream.
const BATCH: u64 = 50;
/// Contacts notified of a change per batch.
const CONTACTS: u64 = 1000;

/// Streams each change to the given users from now on. Without `ids`, follows the peers of the caller's conversations.
pub async fn follow(
    context: RequestContext,
    ids: Option<Vec<UserId>>,
) -> Result<impl Stream<Item = Result<User, Error>> + use<>, Error> {
    let viewer = context.viewer()?.user_id;
    let max = context.backend.config.graphql.max_page_size;
    let (followed, topics) = match ids {
        None => (Followed::ContactsOf(viewer), vec![Topic::Contacts(viewer)]),
        Some(ids) if (1..=max).contains(&ids.len()) => {
            let topics = ids.iter().copied().map(Topic::User).collect();
            (Followed::Named(ids), topics)
        }
        Some(ids) => {
            return Err(Error::invalid("ids", format!("must have 1 to {max} IDs, but has {}", ids.len())));
        }
    };
    // Subscribes before the first read, so that no change is missed in between.
    let news = topics.into_iter().map(|topic| context.backend.bus.subscribe(topic)).collect();
    let reader = Arc::clone(&context.backend);
    let position = spawn_read(async move { Ok(store::user_changes::latest(reader.store.db()).await?) }).await?;
    let changes = Changes { context, news, followed, position, ready: VecDeque::new() };
    Ok(stream::try_unfold(changes, |mut changes| async move { Ok(Some((changes.next().await?, changes))) }))
}

/// Publishes a committed change of a user to the followers.
///
/// Retries while the database is unavailable, until the followers' next poll.
pub(super) async fn publish_change(backend: &Arc<Backend>, id: UserId) {
    backend.bus.publish(Topic::User(id));
    let Err(error) = notify_contacts(backend, id).await else { return };
    tracing::warn!(%error, "some contacts receive a user's change late; retrying");
    let backend = Arc::clone(backend);
    spawn(async move {
        let next_poll = Instant::now() + Duration::from_secs(backend.config.feed.poll_seconds);
        while Instant::now() < next_poll {
            sleep(backend.poll_interval_without_bus()).await;
            if notify_contacts(&backend, id).await.is_ok() {
                return;
            }
        }
    });
}

async fn notify_contacts(backend: &Backend, id: UserId) -> Result<(), store::Error> {
    let mut after = None;
    loop {
        let peers = store::user_changes::find_contacts(backend.store.db(), id, after, CONTACTS).await?;
        backend.bus.publish_all(peers.iter().copied().map(Topic::Contacts));
        after = peers.last().copied();
        if (peers.len() as u64) < CONTACTS {
            return Ok(());
        }
    }
}

struct Changes {
    context: RequestContext,
    news: Vec<Subscription>,
    followed: Followed,
    position: i64,
    ready: VecDeque<(i64, User)>,
}

impl Changes {
    async fn next(&mut self) -> Result<User, Error> {
        loop {
            if let Some((number, user)) = self.ready.pop_front() {
                self.position = number;
                return Ok(user);
            }
            let (latest, found) = self.read().await?;
            self.ready = found;
            if self.ready.is_empty() {
                self.position = latest;
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let poll = self.context.backend.poll_interval();
        let news = select_all(self.news.iter_mut().map(|news| Box::pin(news.news())));
        tokio::select! {
            _ = news => {}
            () = sleep(poll) => {}
        }
    }

    async fn read(&self) -> Result<(i64, VecDeque<(i64, User)>), Error> {
        let read = || spawn_read(read_changes(self.context.clone(), self.followed.clone(), self.position));
        retry_while_unavailable(&self.context.backend, "a stream of users", read).await
    }
}

/// Returns the latest number, and the followed users whose last change is after the position.
///
/// A user who changes again meanwhile gets a higher number, which the next read finds.
async fn read_changes(
    context: RequestContext,
    followed: Followed,
    position: i64,
) -> Result<(i64, VecDeque<(i64, User)>), Error> {
    let db = context.backend.store.db();
    let latest = store::user_changes::latest(db).await?;
    if latest == position {
        return Ok((latest, VecDeque::new()));
    }
    let found = store::user_changes::find_between(db, &followed, (position, latest), BATCH).await?;
    Ok((latest, found.into()))
}
