//! The queue of one operation's loads, which begin when none of its fields has anything else to do.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;

/// Loads that wait to begin.
///
/// On a task of its own a load would begin at once on another thread, while fields still ask: what belongs into one
/// statement would be torn into many.
#[derive(Clone, Default)]
pub struct LoadQueue(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl LoadQueue {
    /// Adds a load, which begins when the operation has nothing else to do.
    pub fn add(&self, load: BoxFuture<'static, ()>) {
        self.0.lock().push(load);
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut self.0.lock())
    }

    /// Runs an operation and its loads in turn.
    pub async fn drive<T>(self, mut operation: Pin<&mut impl Future<Output = T>>) -> T {
        let mut running = None;
        poll_fn(move |context| {
            loop {
                if let Poll::Ready(done) = operation.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let begun = self.take();
                if !begun.is_empty() {
                    running.get_or_insert_with(FuturesUnordered::new).extend(begun);
                }
                // What a load has brought lets fields go on.
                match running.as_mut().map(|running| running.poll_next_unpin(context)) {
                    Some(Poll::Ready(Some(()))) => {}
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }
}
