//! Reads of the database that the feeds of one user on this node share.
//!
//! Fifty feeds that the same news have woken look for the same events: the first of them reads, the others wait for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use super::Delivery;
use crate::{
    domain::UserId,
    service::{Error, reading::on_a_task},
};

/// The latest read of each user, for as long as it runs or somebody has still to take what it found.
#[derive(Default)]
pub struct Reads(Mutex<HashMap<UserId, Weak<Read>>>);

/// What there is behind a place.
pub(super) struct Batch {
    /// In order.
    pub(super) events: Vec<Arc<Delivery>>,
    /// Whether there was nothing behind them when the read began.
    pub(super) is_drained: bool,
}

/// What a feed takes of a read.
pub(super) struct Found {
    pub(super) events: VecDeque<Arc<Delivery>>,
    pub(super) is_drained: bool,
    /// The number of the latest news when the read began: it has seen all that they told of.
    pub(super) began: u64,
}

struct Read {
    reads: Arc<Reads>,
    user_id: UserId,
    after: i64,
    began: u64,
    /// Empty while the read runs, and closed when it fails: whoever waits for it then sees for itself.
    batch: watch::Receiver<Option<Batch>>,
}

impl Reads {
    /// What another feed of the user finds behind this place, if its read began after the news of this number.
    ///
    /// A read from before could miss what they tell of, and nobody would wake this feed for it again.
    pub(super) async fn join(&self, user_id: UserId, place: i64, news: u64) -> Option<Found> {
        loop {
            // The lock is given back before the read, because the last who holds one takes the lock to forget it.
            let read = self.lock().get(&user_id).and_then(Weak::upgrade)?;
            if read.began < news || read.after > place {
                return None;
            }
            if !read.runs() {
                return read.behind(place);
            }
            // It may fail, and another may have begun by then.
            let _ = read.batch.clone().wait_for(Option::is_some).await;
        }
    }

    /// Reads on a task behind this place, for whoever joins as well; `latest` is the number of the latest news.
    pub(super) async fn begin(
        self: &Arc<Self>,
        user_id: UserId,
        after: i64,
        latest: u64,
        reading: impl Future<Output = Result<Batch, Error>> + Send + 'static,
    ) -> Result<Found, Error> {
        let (sender, batch) = watch::channel(None);
        let read = Arc::new(Read { reads: Arc::clone(self), user_id, after, began: latest, batch });
        self.lock().insert(user_id, Arc::downgrade(&read));
        let read = on_a_task(async move {
            sender.send_replace(Some(reading.await?));
            Ok(read)
        });
        let nothing = || Error::Internal { cause: "a read found neither events nor their end".to_owned() };
        read.await?.behind(after).ok_or_else(nothing)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Weak<Read>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn runs(&self) -> bool {
        self.batch.borrow().is_none() && self.batch.has_changed().is_ok()
    }

    /// What it found behind a place that it began at or before; none if it did not come so far.
    fn behind(&self, place: i64) -> Option<Found> {
        let batch = self.batch.borrow();
        let Batch { events, is_drained } = batch.as_ref()?;
        let events: VecDeque<_> = events.iter().filter(|it| it.event.sequence > place).cloned().collect();
        (*is_drained || !events.is_empty()).then_some(Found { events, is_drained: *is_drained, began: self.began })
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let mut reads = self.reads.lock();
        // Unless a later one has taken its place.
        if reads.get(&self.user_id).is_some_and(|read| read.strong_count() == 0) {
            reads.remove(&self.user_id);
        }
    }
}
