//! Queue of one operation's loads, which start when none of its fields can make progress.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;

/// Loads that wait to start.
///
/// A load on its own task would start on another thread while fields still add keys. That would split one statement
/// into many.
#[derive(Clone, Default)]
pub struct LoadQueue(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl LoadQueue {
    /// Adds a load, which starts when the operation can make no other progress.
    pub fn add(&self, load: BoxFuture<'static, ()>) {
        self.0.lock().push(load);
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut self.0.lock())
    }

    /// Polls an operation and its loads in turn, until the operation completes.
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
                // A completed load may let fields make progress.
                match running.as_mut().map(|running| running.poll_next_unpin(context)) {
                    Some(Poll::Ready(Some(()))) => {}
                    _ => return Poll::Pending,
                }
            }
        })
        .await
    }
}
