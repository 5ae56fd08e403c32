//! What a schema passes to its resolvers, and what the engine asks of it.

use std::task::{self, Poll};

use async_graphql::ContextBase;

use crate::engine::LoadQueue;

/// The context of one operation. The engine puts it where resolvers find it, and loads by it what objects lack.
pub trait Context: Clone + Send + Sync + 'static {
    /// Values that were loaded for an object, by kind and key.
    type Loaded: Default + Send + Sync;
    /// Keys of values that an object still lacks, by kind.
    type Missing: Default + Send + Sync;

    /// Loads what is missing, each kind in one batch.
    fn load(&self, loaded: &mut Self::Loaded, missing: Self::Missing) -> impl Future<Output = ()> + Send;

    /// Returns the number of loaded values, from which the size of an answer is estimated.
    fn loaded_count(loaded: &Self::Loaded) -> usize;

    /// Returns the id of the request, which each error carries.
    fn request_id(&self) -> &str;

    /// Returns the queue of loads that the engine drives beside the operation. Without one, loads run on their own
    /// tasks.
    fn loads(&self) -> Option<&LoadQueue>;

    /// Returns the source of a subscription's events if it outlives the resolvers that answer them.
    fn event_source(&self) -> Option<&dyn EventSource>;

    /// Returns a context for the next event of a subscription. What this one has loaded by is not kept.
    #[must_use]
    fn for_next_event(&self) -> Self;

    /// Takes the id of the event that was just answered, for transports that send one with each event.
    fn take_event_id(&self) -> Option<String>;
}

/// Events of a subscription, kept apart from what answers them: while there is nothing new, the latter can be dropped.
pub trait EventSource: Send + Sync {
    /// Whether all past events were answered and nothing was new at the last poll.
    fn is_idle(&self) -> bool;

    /// Waits for the next event and keeps it for the resolver. Ready with `false` at the end.
    fn poll_ready(&self, cx: &mut task::Context<'_>) -> Poll<bool>;
}

/// Marks an execution whose objects put JSON text into the answer: the library has no two objects to merge.
pub(super) struct WritesText;

/// Marks an execution whose fields the library has to resolve one by one, because an extension watches them.
pub(crate) struct FieldsAreWatched;

impl FieldsAreWatched {
    /// Whether the mark is set.
    pub(super) fn in_context<T>(ctx: &ContextBase<'_, T>) -> bool {
        ctx.data_opt::<Self>().is_some()
    }
}
