//! How streams read: on tasks, and again until a database that is away is back.

use crate::{
    service::{Backend, Error},
    telemetry,
};

/// Has something done whether or not anyone waits for it, for the request that asks for it.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(telemetry::carry(work));
}

/// Reads to the end, whether or not anyone waits for it.
///
/// A stream whose reader is slow is not polled: it would keep a connection of the pool from everyone else for as long.
///
/// Not an `async fn`: whoever waits would keep room for the whole reading.
pub(crate) fn on_a_task<T: Send + 'static, R: Future<Output = Result<T, Error>> + Send + 'static>(
    reading: R,
) -> impl Future<Output = Result<T, Error>> + use<T, R> {
    let task = tokio::spawn(reading);
    async { task.await.map_err(|error| Error::Internal { cause: error.to_string() })? }
}

/// Reads as often as it takes; `stream` is what waits, for the log.
pub(crate) async fn patiently<T, R: Future<Output = Result<T, Error>>>(
    backend: &Backend,
    stream: &'static str,
    read: impl Fn() -> R,
) -> Result<T, Error> {
    loop {
        match read().await {
            Err(Error::Unavailable { cause }) => {
                tracing::warn!(cause, "{stream} waits for the database");
                tokio::time::sleep(backend.unassisted_poll()).await;
            }
            other => return other,
        }
    }
}
