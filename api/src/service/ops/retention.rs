//! Removing what has ended: on one node at a time, a little at a time.

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::service::{Backend, Error, clocks, metrics, ops::signing_keys};
use crate::store;

/// Rows of a table that go in one transaction, so that nobody waits for long.
const BATCH: u64 = 1000;
/// The same of the feed's events, whose mailboxes nobody writes to meanwhile.
const EVENT_BATCH: u64 = 200;

/// What has been removed.
#[derive(Debug, Default)]
pub struct Purged {
    /// Sessions whose time was over.
    pub sessions: u64,
    /// Mailed tokens that were used or whose time was over.
    pub one_time_tokens: u64,
    /// Entries of the audit trail past their retention.
    pub audit_logs: u64,
    /// Metrics past their retention.
    pub metrics: u64,
    /// Events of the feed past their retention.
    pub mailbox_events: u64,
    /// Keys whose last tokens have ended.
    pub signing_keys: u64,
}

/// Removes all that has ended; nothing, if another node is just doing so. Fails if this node's clock is far from the
/// database's, by which it goes.
pub async fn run(backend: &Backend) -> Result<Option<Purged>, Error> {
    run_until(backend, &CancellationToken::new()).await
}

/// Does so until it is told to stop; the next purge goes on from there.
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
        // The last, because mailboxes are held from here on.
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
