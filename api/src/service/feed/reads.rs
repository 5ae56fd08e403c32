//! Single-flight reads of the database, shared by the feeds of one user on this node.
//!
//! One hint wakes all of these feeds. The first one reads, and the others wait for its result.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::UserId;
use crate::service::{Error, context::streams::spawn_read, feed::delivery::Delivery};

/// Latest read of each user, kept while it runs or a feed has not yet taken its result.
#[derive(Default)]
pub struct Reads(Mutex<HashMap<UserId, Weak<Read>>>);

/// Events after a position.
pub(super) struct Batch {
    /// The events, in order.
    pub(super) events: Vec<Arc<Delivery>>,
    /// Whether there were no further events when the read began.
    pub(super) is_drained: bool,
}

/// Result of a read for one feed.
pub(super) struct Found {
    pub(super) events: VecDeque<Arc<Delivery>>,
    pub(super) is_drained: bool,
    /// Number of the latest hint when the read began. The read covers everything that this hint announced.
    pub(super) began: u64,
}

struct Read {
    reads: Arc<Reads>,
    user_id: UserId,
    position: i64,
    began: u64,
    /// `None` while the read runs. Closed if the read fails, whereupon waiting feeds read themselves.
    batch: watch::Receiver<Option<Batch>>,
}

impl Reads {
    /// Returns what another feed's read finds after a position. Returns `None` unless a read covers the position and
    /// began after the hint of this number.
    ///
    /// An earlier read could miss the hint's events, and no other hint would wake this feed.
    pub(super) async fn join(&self, user_id: UserId, position: i64, news: u64) -> Option<Found> {
        loop {
            // Releases the lock before waiting, because dropping the last reference to a read takes the lock.
            let read = self.0.lock().get(&user_id).and_then(Weak::upgrade)?;
            if read.began < news || read.position > position {
                return None;
            }
            if read.batch.clone().wait_for(Option::is_some).await.is_ok() {
                return read.after(position);
            }
            // This read failed, but another one may have begun meanwhile.
            if self.0.lock().get(&user_id).is_none_or(|latest| latest.as_ptr() == Arc::as_ptr(&read)) {
                return None;
            }
        }
    }

    /// Starts a read after a position, on a task that other feeds can join. `latest` is the number of the latest hint.
    pub(super) fn begin<R: Future<Output = Result<Batch, Error>> + Send + 'static>(
        self: &Arc<Self>,
        user_id: UserId,
        position: i64,
        latest: u64,
        reading: R,
    ) -> impl Future<Output = Result<Found, Error>> + use<R> {
        let (sender, batch) = watch::channel(None);
        let read = Arc::new(Read { reads: Arc::clone(self), user_id, position, began: latest, batch });
        self.0.lock().insert(user_id, Arc::downgrade(&read));
        let read = spawn_read(async move {
            sender.send_replace(Some(reading.await?));
            Ok(read)
        });
        let nothing = || Error::Internal { cause: "a feed read found neither events nor their end".to_owned() };
        async move { read.await?.after(position).ok_or_else(nothing) }
    }
}

impl Read {
    /// Returns the events after `position`, or `None` if the read did not reach it. `position` is at least the read's
    /// own.
    fn after(&self, position: i64) -> Option<Found> {
        let batch = self.batch.borrow();
        let Batch { events, is_drained } = batch.as_ref()?;
        let events: VecDeque<_> = events.iter().filter(|it| it.event.sequence > position).cloned().collect();
        (*is_drained || !events.is_empty()).then_some(Found { events, is_drained: *is_drained, began: self.began })
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        let mut reads = self.reads.0.lock();
        // A later read may have replaced this one.
        if reads.get(&self.user_id).is_some_and(|read| read.strong_count() == 0) {
            reads.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{FeedEvent, FeedEventKind};

    const ALICE: UserId = UserId(Uuid::from_u128(1));

    fn batch(places: impl IntoIterator<Item = i64>, is_drained: bool) -> Batch {
        let delivery = |sequence| {
            let event = FeedEvent { sequence, kind: FeedEventKind::Sent, message_id: None, message: None };
            Arc::new(Delivery { cursor: String::new(), event, memo: OnceLock::new(), memory: None })
        };
        Batch { events: places.into_iter().map(delivery).collect(), is_drained }
    }

    /// Returns a read that yields the batch sent to it, and that fails if the sender is dropped.
    fn reading() -> (oneshot::Sender<Batch>, impl Future<Output = Result<Batch, Error>> + Send + 'static) {
        let (sender, receiver) = oneshot::channel();
        (sender, async { receiver.await.map_err(|_| Error::Unavailable { cause: String::new() }) })
    }

    fn places(found: &Found) -> Vec<i64> {
        found.events.iter().map(|it| it.event.sequence).collect()
    }

    #[tokio::test]
    async fn whoever_is_woken_while_a_read_is_under_way_waits_for_a_later_one() {
        let reads = Arc::new(Reads::default());
        let ((first_end, first), (second_end, second)) = (reading(), reading());
        let mut first = Box::pin(reads.begin(ALICE, 5, 1, first));
        let mut same = Box::pin(reads.join(ALICE, 5, 1));
        assert!(first.as_mut().now_or_never().is_none() && same.as_mut().now_or_never().is_none());
        // The first read may have run its query before the events of this hint were committed.
        assert!(reads.join(ALICE, 5, 2).now_or_never().expect("an answer at once").is_none());
        let mut second = Box::pin(reads.begin(ALICE, 5, 2, second));
        let mut later = Box::pin(reads.join(ALICE, 5, 2));
        assert!(second.as_mut().now_or_never().is_none() && later.as_mut().now_or_never().is_none());

        assert!(first_end.send(batch([6], true)).is_ok());
        assert_eq!((places(&first.await.unwrap()), places(&same.await.unwrap())), (vec![6], vec![6]));
        assert!(later.as_mut().now_or_never().is_none());
        assert!(second_end.send(batch([6, 7], true)).is_ok());
        let (second, later) = (second.await.unwrap(), later.await.unwrap());
        assert_eq!((places(&second), places(&later), later.began), (vec![6, 7], vec![6, 7], 2));
        assert!(Arc::ptr_eq(&second.events[0], &later.events[0]), "one copy for both");
        assert!(reads.0.lock().is_empty(), "what nobody waits for is forgotten");
    }

    #[tokio::test]
    async fn a_read_goes_on_without_whoever_began_it_and_its_error_is_nobody_elses() {
        let reads = Arc::new(Reads::default());
        let (end, read) = reading();
        let mut first = Box::pin(reads.begin(ALICE, 5, 1, read));
        assert!(first.as_mut().now_or_never().is_none());
        drop(first);
        let mut other = Box::pin(reads.join(ALICE, 5, 1));
        assert!(other.as_mut().now_or_never().is_none());
        assert!(end.send(batch([6], true)).is_ok());
        assert_eq!(places(&other.await.unwrap()), [6]);

        let (end, read) = reading();
        let mut first = Box::pin(reads.begin(ALICE, 6, 2, read));
        let mut other = Box::pin(reads.join(ALICE, 6, 2));
        assert!(first.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(end);
        assert!(matches!(first.await, Err(Error::Unavailable { .. })));
        assert!(other.await.is_none(), "it sees for itself");
        assert!(reads.0.lock().is_empty());
    }

    #[tokio::test]
    async fn a_read_is_good_for_the_places_that_it_covers() {
        let reads = Arc::new(Reads::default());
        for (found, is_drained, expected) in [
            (vec![6, 7], false, [None, Some(vec![6, 7]), Some(vec![7]), None]),
            (vec![6, 7], true, [None, Some(vec![6, 7]), Some(vec![7]), Some(vec![])]),
        ] {
            let (end, read) = reading();
            let mut first = Box::pin(reads.begin(ALICE, 5, 1, read));
            assert!(first.as_mut().now_or_never().is_none());
            let others = [4, 5, 6, 7].map(|place| reads.join(ALICE, place, 1));
            assert!(end.send(batch(found, is_drained)).is_ok());
            let found = futures_util::future::join_all(others).await;
            assert_eq!(found.iter().map(|it| it.as_ref().map(places)).collect::<Vec<_>>(), expected);
        }
        assert!(reads.join(UserId(Uuid::from_u128(2)), 5, 1).await.is_none(), "somebody else's");
    }
}
