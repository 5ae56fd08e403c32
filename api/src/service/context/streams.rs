//! Reads of streams: on tasks, retried while the database is unavailable.

use crate::service::{Backend, Error};
use crate::telemetry;

/// Spawns work that outlives its request. Its log lines still name the request.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(telemetry::carry(work));
}

/// Spawns a read that finishes whether or not its stream is polled.
///
/// A slow client's stream is not polled, and its read would meanwhile occupy a pooled connection.
///
/// Not an `async fn`, whose future would reserve memory for the read. The benchmark `sockets` guards this.
pub(crate) fn spawn_read<T: Send + 'static, R: Future<Output = Result<T, Error>> + Send + 'static>(
    reading: R,
) -> impl Future<Output = Result<T, Error>> + use<T, R> {
    let task = tokio::spawn(reading);
    async { task.await.map_err(|error| Error::Internal { cause: error.to_string() })? }
}

/// Retries a read while the database is unavailable. `stream` names the reader in the log.
pub(crate) async fn retry_while_unavailable<T, R: Future<Output = Result<T, Error>>>(
    backend: &Backend,
    stream: &'static str,
    read: impl Fn() -> R,
) -> Result<T, Error> {
    loop {
        match read().await {
            Err(Error::Unavailable { cause }) => {
                tracing::warn!(cause, "{stream} is waiting for the database");
                tokio::time::sleep(backend.poll_interval_without_bus()).await;
            }
            other => return other,
        }
    }
}
