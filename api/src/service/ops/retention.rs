//! Retention: deletes expired rows in small batches, on one node at a time.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::service::{Backend, Error, clocks, metrics, ops::signing_keys};
use crate::store;

/// Rows of a table deleted in one transaction. The limit keeps locks short.
const BATCH: u64 = 1000;
/// Feed events deleted in one transaction. Nobody can write to their mailboxes until it commits.
const EVENT_BATCH: u64 = 200;

/// Numbers of deleted rows.
#[derive(Debug, Default)]
pub struct Purged {
    /// Expired sessions.
    pub sessions: u64,
    /// Mailed tokens that were used or expired.
    pub one_time_tokens: u64,
    /// Audit trail entries past their retention.
    pub audit_logs: u64,
    /// Metrics past their retention.
    pub metrics: u64,
    /// Feed events past their retention.
    pub mailbox_events: u64,
    /// Retired signing keys whose last tokens have expired.
    pub signing_keys: u64,
}

/// Deletes all expired rows. Returns `None` if another node is doing so. Fails if this node's clock is far from the
/// database's, which decides what has expired.
pub async fn run(backend: &Backend) -> Result<Option<Purged>, Error> {
    run_until(backend, &CancellationToken::new()).await
}

/// Deletes expired rows until `stop` is cancelled. The next run continues with the rest.
pub async fn run_until(backend: &Backend, stop: &CancellationToken) -> Result<Option<Purged>, Error> {
    let mut purged = Purged::default();
    loop {
        let now = clocks::database_time(backend).await?;
        let kept_since = |days: u32| now - TimeDelta::days(days.into());
        let tx = backend.store.begin().await?;
        if !store::purge::try_lock(&tx).await? {
            return Ok(None);
        }
        let sessions = store::purge::delete_sessions(tx.db(), now, BATCH).await?;
        let one_time_tokens = store::purge::delete_one_time_tokens(tx.db(), now, BATCH).await?;
        let audit_logs =
            store::purge::delete_audit_logs(tx.db(), kept_since(backend.config.audit.retention_days), BATCH).await?;
        let metrics = store::purge::delete_metrics(tx.db(), metrics::kept_since(backend, now), BATCH).await?;
        purged.signing_keys +=
            store::purge::delete_signing_keys(tx.db(), signing_keys::retired_since(backend, now)).await?;
        // Last, because this step locks mailboxes until the commit.
        let feed_since = kept_since(backend.config.feed.retention_days);
        let events = store::purge::delete_mailbox_events(&tx, feed_since, EVENT_BATCH).await?;
        tx.commit().await?;
        purged.sessions += sessions;
        purged.one_time_tokens += one_time_tokens;
        purged.audit_logs += audit_logs;
        purged.mailbox_events += events;
        purged.metrics += metrics;
        if sessions.max(one_time_tokens).max(audit_logs).max(metrics) < BATCH && events < EVENT_BATCH
            || stop.is_cancelled()
        {
            return Ok(Some(purged));
        }
    }
}
