//! For which request the work under way is, so that every line of it says so.

use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;
use tracing::{Instrument, instrument::Instrumented};

use crate::domain::Client;

tokio::task_local! {
    static CURRENT: Option<Arc<Client>>;
}

/// Work for the request of a client.
///
/// Spans could say the same and cost several times as much: they are for traces.
pub fn within<F: Future>(client: &Arc<Client>, work: F) -> TaskLocalFuture<Option<Arc<Client>>, F> {
    CURRENT.scope(Some(Arc::clone(client)), work)
}

/// Work for the request of whoever calls, to go on on a task of its own.
pub fn carry<F: Future>(work: F) -> TaskLocalFuture<Option<Arc<Client>>, Instrumented<F>> {
    CURRENT.scope(current(), work.in_current_span())
}

/// The client whose request the caller works for.
pub(super) fn current() -> Option<Arc<Client>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}
