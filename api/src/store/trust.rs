//! Which connections of the pool may be used: none that is older than the last answer that did not come.
//!
//! A path that went silent is silent for all connections that were made before, and the driver would try one after the
//! other. And a `BEGIN` that is given up leaves its connection inside a transaction that the driver does not know of:
//! whoever got it next would lose its writes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection, pool::PoolConnectionMetadata};

/// How long a connection may say nothing when it is asked whether it lives.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection is believed to live without being asked.
pub(super) const IDLE_BEFORE_TEST: Duration = Duration::from_secs(30);

/// When an answer was last given up. Times are those since this began.
#[derive(Debug)]
pub(super) struct Trust {
    origin: Instant,
    lost_at: AtomicU64,
}

impl Default for Trust {
    fn default() -> Self {
        Self { origin: Instant::now(), lost_at: AtomicU64::new(0) }
    }
}

impl Trust {
    /// An answer has been given up.
    pub(super) fn lose(&self) {
        self.lost_at.store(micros(self.origin.elapsed()), Ordering::Relaxed);
    }

    /// Whether a connection that has waited may be used; whether it lives is asked only if it may have died meanwhile.
    pub(super) async fn admits(&self, connection: &mut PgConnection, age: Duration, may_have_died: bool) -> bool {
        if !self.covers(age) {
            return false;
        }
        if !may_have_died {
            return true;
        }
        let answer = ping(connection).await;
        if answer.is_none() {
            self.lose();
        }
        answer == Some(true)
    }

    /// Whether a connection that comes back may wait in the pool. The driver itself would wait for the rest of an
    /// answer that never comes. One that says nothing tells of itself only: it may be at a statement that nobody waits
    /// for any more.
    pub(super) async fn readmits(&self, connection: &mut PgConnection, meta: PoolConnectionMetadata) -> bool {
        self.covers(meta.age) && ping(connection).await == Some(true)
    }

    /// Whether a connection of this age is younger than the last answer that did not come.
    pub(super) fn covers(&self, age: Duration) -> bool {
        micros(self.origin.elapsed().saturating_sub(age)) >= self.lost_at.load(Ordering::Relaxed)
    }
}

/// Whether a connection can be used, if it says anything.
pub(super) async fn ping(connection: &mut PgConnection) -> Option<bool> {
    ping_within(PATIENCE, connection).await
}

/// The same with more patience.
pub(super) async fn ping_within(patience: Duration, connection: &mut PgConnection) -> Option<bool> {
    let answer = tokio::time::timeout(patience, connection.ping()).await;
    answer.ok().map(|answer| answer.is_ok())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_younger_than_the_last_silence_is_trusted() {
        let trust = Trust::default();
        assert!(trust.covers(Duration::ZERO) && trust.covers(Duration::from_mins(1)));
        trust.lose();
        assert!(!trust.covers(Duration::from_mins(1)));
        assert!(trust.covers(Duration::ZERO));
    }
}
