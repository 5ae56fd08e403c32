//! Writes metrics, one transaction at a time on each node.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::domain::{PerformanceMetric, event::Topic};
use crate::service::{Backend, Error, RequestContext, after_commit::AfterCommit, sessions};
use crate::store;

/// Writes metrics and notifies listeners. `context` is the recording caller's, or `None` for the server's own metrics.
pub(super) async fn write(
    backend: &Arc<Backend>,
    context: Option<&RequestContext>,
    metrics: Vec<PerformanceMetric>,
) -> Result<(), Error> {
    // Writers of one node wait here without a connection for the row that assigns sequence numbers. A waiting writer
    // occupies a request slot, so it waits no longer than for a connection.
    let patience = Duration::from_secs(backend.config.database.acquire_timeout_seconds);
    let turn = timeout(patience, backend.metric_lock.lock()).await;
    let turn = turn.map_err(|_| Error::Unavailable { cause: "timed out waiting for other metrics".to_owned() })?;
    let tx = backend.store.begin().await?;
    if let Some(context) = context {
        sessions::lock_session(context, &tx).await?;
    }
    let user_id = context.and_then(RequestContext::caller).map(|viewer| viewer.user_id);
    store::performance_metrics::insert_many(&tx, user_id, metrics).await?;
    let committed = tx.commit().await;
    drop(turn);
    AfterCommit::default().publish([Topic::Metrics]).finish(backend, committed.map_err(Error::from)).await
}
