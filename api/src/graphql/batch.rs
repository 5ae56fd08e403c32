//! Batches of loads: one for each kind of key of an operation.

use std::time::Duration;

use async_graphql::dataloader::DataLoader;
use futures_util::future::BoxFuture;

use crate::engine::LoadQueue;
use crate::service::{self, RequestContext};

/// Reader of batches for one operation.
pub(crate) struct Batch(pub(crate) RequestContext);

/// Creates the batches of one operation, one for each kind of key.
///
/// They have no cache: caching belongs to the use cases, where writes invalidate. They have no delay: the queue starts
/// a batch when the operation has nothing else to do. Without a queue, a batch runs on its own task.
pub(crate) fn loader(context: &RequestContext, loads: Option<LoadQueue>) -> DataLoader<Batch> {
    let begin = move |batch: BoxFuture<'static, ()>| match &loads {
        Some(loads) => loads.add(batch),
        None => service::spawn(batch),
    };
    DataLoader::new(Batch(context.clone()), begin).delay(Duration::ZERO)
}
