//! Interface between the engine and a schema: context, loads and events.

use std::task::{self, Poll};

use async_graphql::ContextBase;

use crate::budget::{Exceeded, OperationMemory};
use crate::engine::{FieldError, LoadQueue};

/// Context of one operation. The engine passes it to resolvers, and calls it to load missing values.
pub trait Context: Clone + Send + Sync + 'static {
    /// Loaded values of an object, by kind and key.
    type Loaded: Default + Send + Sync;
    /// Keys of values that an object still needs, by kind.
    type Missing: Default + Send + Sync;

    /// Loads the missing values, each kind in one batch.
    fn load(&self, loaded: &mut Self::Loaded, missing: Self::Missing) -> impl Future<Output = ()> + Send;

    /// Returns the number of loaded values, from which the size of an answer is estimated.
    fn loaded_count(loaded: &Self::Loaded) -> usize;

    /// Returns the id of the request, which each error carries.
    fn request_id(&self) -> &str;

    /// Returns the memory of the operation, in which the bytes of its answer count.
    fn memory(&self) -> &OperationMemory;

    /// Returns the error of an operation that got no more memory.
    fn out_of_memory(&self, exceeded: Exceeded) -> FieldError;

    /// Returns the queue of loads that the engine polls together with the operation. Without a queue, loads run on
    /// their own tasks.
    fn loads(&self) -> Option<&LoadQueue>;

    /// Returns the source of a subscription's events, if that source outlives the resolvers of each event.
    fn event_source(&self) -> Option<&dyn EventSource>;

    /// Returns a context for the next event of a subscription, without the loader of this context.
    #[must_use]
    fn for_next_event(&self) -> Self;

    /// Takes the id of the latest event, for transports that send an id with each event.
    fn take_event_id(&self) -> Option<String>;
}

/// Source of a subscription's events. The resolvers of events can be dropped while the source is idle.
pub trait EventSource: Send + Sync {
    /// Whether all past events were sent and the last poll found no new event.
    fn is_idle(&self) -> bool;

    /// Waits for the next event and keeps it for the resolver. Ready with `false` at the end of the stream.
    fn poll_ready(&self, cx: &mut task::Context<'_>) -> Poll<bool>;
}

/// Marker of an execution whose objects write JSON text, because async-graphql has no objects to merge.
pub(super) struct WritesText;

/// Marker of an execution whose fields async-graphql resolves one by one, because an extension observes them.
pub(crate) struct FieldsAreWatched;

impl FieldsAreWatched {
    /// Whether the context has this marker.
    pub(super) fn in_context<T>(ctx: &ContextBase<'_, T>) -> bool {
        ctx.data_opt::<Self>().is_some()
    }
}
