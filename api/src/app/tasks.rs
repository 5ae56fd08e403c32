//! Background tasks of a server, which run until it stops.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::app::data_dir;
use crate::bus::Subscription;
use crate::service::ops::{retention, signing_keys};
use crate::service::{Backend, Error, StartError, metrics};

/// Interval of the checks for an operator's command, which must close open sockets within a second.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Interval at which unused memory is released.
const RELEASE_EVERY: Duration = Duration::from_secs(2);
/// Interval of the checkpoints of the embedded database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// More than a segment of the allocator, in bytes.
const LARGE_ALLOCATION: usize = 4 << 20;

/// Starts all tasks. `key_changes` must be subscribed before the signing key is loaded.
pub(super) fn spawn_all(
    backend: &Arc<Backend>,
    key_changes: Subscription,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(maintain(Arc::clone(backend), stop.clone())),
        tokio::spawn(watch_signing_keys(Arc::clone(backend), key_changes, stop.clone())),
        tokio::spawn(watch_data_dir(Arc::clone(backend), stop.clone())),
        tokio::spawn(sample_metrics(Arc::clone(backend), stop.clone())),
        tokio::spawn(release_memory(Arc::clone(backend), stop.clone())),
        tokio::spawn(checkpoint(Arc::clone(backend), stop.clone())),
    ]
}

/// Signs with the key in the data folder, or with a new key if that one was withdrawn. Loads the accepted keys.
pub async fn load_signing_key(backend: &Backend) -> Result<(), StartError> {
    let failed = |error: Error| StartError(format!("{error} ({})", error.cause().unwrap_or_default()));
    let (folder, random) = (&backend.config.data_dir, &backend.source.random);
    let mut key = data_dir::signing_key(folder, random)?;
    if signing_keys::is_withdrawn(backend, &key.kid).await.map_err(failed)? {
        key = data_dir::replace_signing_key(folder, random)?;
        tracing::warn!(signing_key.id = %key.kid, "the signing key was withdrawn; this node signs with a new key");
    }
    signing_keys::adopt(backend, key).await.map_err(failed)
}

/// Records the server's own request figures.
pub(super) async fn record_metrics(backend: &Arc<Backend>) {
    warn_of_failure("request metrics were not recorded", metrics::write_own(backend).await);
}

/// Loads the signing keys and purges expired rows, at the configured interval.
async fn maintain(backend: Arc<Backend>, stop: CancellationToken) {
    let interval = Duration::from_secs(backend.config.upkeep.interval_seconds.into());
    while stop.run_until_cancelled(sleep(interval)).await.is_some() {
        reload_signing_keys(&backend).await;
        warn_of_failure("expired rows were not deleted", retention::run_until(&backend, &stop).await);
    }
}

/// Loads the signing keys when an operator's command has changed them on any node.
async fn watch_signing_keys(backend: Arc<Backend>, mut changes: Subscription, stop: CancellationToken) {
    while stop.run_until_cancelled(changes.news()).await.is_some() {
        reload_signing_keys(&backend).await;
    }
}

async fn reload_signing_keys(backend: &Backend) {
    if let Err(error) = load_signing_key(backend).await {
        tracing::warn!(%error, "the signing keys could not be loaded");
    }
}

/// Drops cached values when an operator's command has changed the embedded database from another process.
async fn watch_data_dir(backend: Arc<Backend>, stop: CancellationToken) {
    let folder = &backend.config.data_dir;
    let mut known = data_dir::last_change_at(folder);
    while stop.run_until_cancelled(sleep(WATCH_EVERY)).await.is_some() {
        let latest = data_dir::last_change_at(folder);
        if latest != known {
            known = latest;
            backend.reload_all();
        }
    }
}

/// Records the server's own request figures, at the configured interval.
async fn sample_metrics(backend: Arc<Backend>, stop: CancellationToken) {
    let interval = Duration::from_secs(backend.config.metrics.sample_seconds.into());
    while !interval.is_zero() && stop.run_until_cancelled(sleep(interval)).await.is_some() {
        record_metrics(&backend).await;
    }
}

/// Releases unused memory. The allocator keeps freed memory until a large allocation triggers a search for old
/// segments.
async fn release_memory(backend: Arc<Backend>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(RELEASE_EVERY)).await.is_some() {
        backend.release_memory();
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_ALLOCATION)));
    }
}

/// Moves the write-ahead log into the embedded database, which also detects a failing disk.
async fn checkpoint(backend: Arc<Backend>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(CHECKPOINT_EVERY)).await.is_some() {
        warn_of_failure("the write-ahead log could not be checkpointed", backend.checkpoint().await);
    }
}

/// Logs a failure. The next round retries.
fn warn_of_failure<T>(message: &'static str, outcome: Result<T, Error>) {
    if let Err(error) = outcome {
        tracing::warn!(cause = error.cause(), %error, "{message}");
    }
}
