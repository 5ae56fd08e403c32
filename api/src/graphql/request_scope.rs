//! The context of one operation: the request, its batches of loads, and a subscription's source of events.

use std::sync::{Arc, OnceLock};

use async_graphql::{Context as FieldContext, dataloader::DataLoader};

use crate::domain::Viewer;
use crate::engine::LoadQueue;
use crate::graphql::feed_source::{FeedSource, StreamPosition};
use crate::graphql::{batch, batch::Batch};
use crate::service::RequestContext;

/// The context of one operation. Cheap to clone.
///
/// Objects carry their scope, because the objects that a sign-in returns belong to the user who signed in.
#[derive(Clone)]
pub struct RequestScope(Arc<Inner>);

struct Inner {
    context: RequestContext,
    /// Created on the first load. Requests served from the local cache never need one.
    loader: OnceLock<DataLoader<Batch>>,
    /// `None` for subscriptions, whose loads run on their own tasks.
    loads: Option<LoadQueue>,
    stream: Option<Arc<Stream>>,
}

/// Additional state of a subscription.
struct Stream {
    feed: FeedSource,
    position: Option<Arc<StreamPosition>>,
}

impl RequestScope {
    /// Creates the scope of a query or a mutation.
    #[must_use]
    pub fn new(context: RequestContext) -> Self {
        Self::with(context, Some(LoadQueue::default()), None)
    }

    /// Creates the scope of a subscription. An event stream passes its position.
    #[must_use]
    pub fn of_subscription(context: RequestContext, position: Option<Arc<StreamPosition>>) -> Self {
        Self::with(context, None, Some(Arc::new(Stream { feed: FeedSource::default(), position })))
    }

    fn with(context: RequestContext, loads: Option<LoadQueue>, stream: Option<Arc<Stream>>) -> Self {
        Self(Arc::new(Inner { context, loader: OnceLock::new(), loads, stream }))
    }

    /// Returns the scope of the operation that a root field belongs to.
    pub(crate) fn of<'a>(ctx: &FieldContext<'a>) -> &'a Self {
        ctx.data_unchecked()
    }

    /// Returns the scope of the user who has just signed in.
    pub(crate) fn signed_in(&self, viewer: Viewer) -> Self {
        Self::with(self.0.context.signed_in(viewer), self.0.loads.clone(), None)
    }

    /// Returns this scope with new batches. Those of an earlier event would occupy memory while the stream is idle.
    pub(crate) fn without_loader(&self) -> Self {
        Self::with(self.0.context.clone(), self.0.loads.clone(), self.0.stream.clone())
    }

    /// Returns the request.
    pub(crate) fn request(&self) -> &RequestContext {
        &self.0.context
    }

    /// Returns the queue of this operation's loads.
    pub(crate) fn loads(&self) -> Option<&LoadQueue> {
        self.0.loads.as_ref()
    }

    /// Returns the batches of this operation.
    pub(crate) fn loader(&self) -> &DataLoader<Batch> {
        self.0.loader.get_or_init(|| batch::loader(&self.0.context, self.0.loads.clone()))
    }

    /// Returns the source of the message feed's events. `None` outside of subscriptions.
    pub(crate) fn feed(&self) -> Option<&FeedSource> {
        Some(&self.0.stream.as_ref()?.feed)
    }

    /// Returns the position of the event stream. `None` over other transports.
    pub(crate) fn position(&self) -> Option<&StreamPosition> {
        self.0.stream.as_ref()?.position.as_deref()
    }
}
