//! Whether the parts that the server stands on answer.

use super::Backend;

/// What the server can do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Everything.
    Ok,
    /// Everything, slower and by itself: the cache and the bus are away.
    Degraded,
    /// Nothing: the database is away.
    Down,
}

/// Asks every part once.
pub async fn readiness(backend: &Backend) -> Readiness {
    let (database, cache) = tokio::join!(backend.store.ping(), backend.cache.ping());
    match (database, cache) {
        (Err(error), _) => {
            tracing::error!(%error, "the database does not answer");
            Readiness::Down
        }
        (Ok(()), Err(_)) => Readiness::Degraded,
        (Ok(()), Ok(())) => Readiness::Ok,
    }
}
