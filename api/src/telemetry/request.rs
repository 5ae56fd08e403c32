//! The request that a task works for, so that each of its log lines names the request.

use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;
use tracing::{Instrument, instrument::Instrumented};

use crate::domain::Client;

tokio::task_local! {
    static CURRENT: Option<Arc<Client>>;
}

/// Runs work for a client's request.
///
/// Spans are not used for this, because they are created only for traces.
pub fn within<F: Future>(client: &Arc<Client>, work: F) -> TaskLocalFuture<Option<Arc<Client>>, F> {
    CURRENT.scope(Some(Arc::clone(client)), work)
}

/// Keeps the caller's request and span for work that continues on its own task.
pub fn carry<F: Future>(work: F) -> TaskLocalFuture<Option<Arc<Client>>, Instrumented<F>> {
    CURRENT.scope(current(), work.in_current_span())
}

/// Returns the client whose request the caller works for.
pub(super) fn current() -> Option<Arc<Client>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}
