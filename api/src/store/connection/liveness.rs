//! Tracks which connections are safe to use: those on which the driver and the database agree about transactions.
//!
//! A silent network path affects all connections opened before, and the driver would try one after the other.
//! Disagreement about the transaction depth is worse: the next user's commit on such a connection may never take
//! effect.
//!
//! The two disagree only in these cases, each of which follows an error or a timeout:
//!
//! - SQLite rolls back automatically when the disk is full, I/O fails or memory runs out. The driver's depth stays. Its
//!   next `BEGIN` is a savepoint. Once one of these is rolled back to, no later one is ever committed.
//! - A `COMMIT` or `ROLLBACK` fails. The driver's depth stays, and the error decides whether the transaction is over.
//! - On PostgreSQL a `BEGIN` times out. The driver knows of no transaction, but the database may be inside one.
//!
//! So an SQLite connection is used only at depth 0. Only a successful `COMMIT` or `ROLLBACK` returns the depth to 0,
//! and SQLite has then left the transaction, too. In addition, such an error marks every open connection as doubtful.
//! Doubtful SQLite connections are closed. Doubtful PostgreSQL connections are queried for their transaction state.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{DbErr, RuntimeErr};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection, pool::PoolConnectionMetadata};
use tokio_util::sync::CancellationToken;

/// Time limit of a ping, or of a query for the transaction state.
const PATIENCE: Duration = Duration::from_secs(1);
/// Idle time after which a connection is pinged before use.
pub(crate) const IDLE_BEFORE_TEST: Duration = Duration::from_secs(30);
/// Query for whether a connection is outside of a transaction. Inside one, `now()` stays at the transaction's start.
const IS_OUTSIDE: &str = "SELECT now() = statement_timestamp()";
/// SQLite's primary code of a constraint violation, which leaves the transaction as it was.
const SQLITE_CONSTRAINT: u32 = 19;
/// SQLite's codes of a failed `fsync` of a file and of a directory.
const SQLITE_NOT_SYNCED: [u32; 2] = [1034, 1290];

/// Times of the last timeout and of the last failed transaction, in microseconds since `origin`.
#[derive(Debug)]
pub(crate) struct Liveness {
    origin: Instant,
    lost_at: AtomicU64,
    doubted_at: AtomicU64,
    disk_failed: CancellationToken,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            lost_at: AtomicU64::new(0),
            doubted_at: AtomicU64::new(0),
            disk_failed: CancellationToken::new(),
        }
    }
}

impl Liveness {
    /// Marks all current connections as lost, after a response timed out.
    pub(crate) fn mark_lost(&self) {
        self.lost_at.store(micros(self.origin.elapsed()), Ordering::Relaxed);
    }

    /// Marks all current connections as doubtful: driver and database may disagree about their transactions.
    pub(crate) fn doubt(&self) {
        self.doubted_at.store(micros(self.origin.elapsed()), Ordering::Relaxed);
    }

    /// Marks connections as doubtful after an error in a transaction, unless the database only rejected the statement.
    pub(crate) fn doubt_after(&self, error: &DbErr) {
        if !is_refusal(error) {
            self.doubt();
        }
    }

    /// Detects a failed `fsync`. Linux reports the failure once and then considers the lost pages written, so no later
    /// success can be trusted.
    pub(crate) fn detect_disk_failure(&self, error: &DbErr) {
        if is_not_synced(error) && !self.disk_failed.is_cancelled() {
            tracing::error!(%error, "fsync failed: written data may be lost");
            self.disk_failed.cancel();
        }
    }

    /// Returns a token that is cancelled once an `fsync` has failed.
    pub(crate) fn disk_failed(&self) -> &CancellationToken {
        &self.disk_failed
    }

    /// Whether an idle connection can be used. Pings the connection only if it may have died meanwhile.
    pub(crate) async fn is_usable(&self, connection: &mut PgConnection, age: Duration, may_have_died: bool) -> bool {
        if !self.is_newer_than_loss(age) {
            return false;
        }
        if !may_have_died {
            return true;
        }
        let answer = ping(connection).await;
        if answer.is_none() {
            self.mark_lost();
        }
        answer == Some(true)
    }

    /// Whether a returned connection can stay in the pool.
    ///
    /// The driver alone would wait without limit for the rest of a response. A silent connection says nothing about
    /// others: it may still run a statement whose caller has left.
    pub(crate) async fn is_reusable(&self, connection: &mut PgConnection, meta: PoolConnectionMetadata) -> bool {
        if !self.is_newer_than_loss(meta.age) {
            return false;
        }
        if self.is_newer_than_doubt(meta.age) {
            return ping(connection).await == Some(true);
        }
        let answer = tokio::time::timeout(PATIENCE, is_outside(connection)).await;
        matches!(answer, Ok(Ok(true)))
    }

    /// Whether an SQLite connection can be used. The pool has already finished the work that its last user left.
    pub(crate) fn is_file_usable(&self, connection: &SqliteConnection, age: Duration) -> bool {
        !connection.is_in_transaction() && self.is_newer_than_doubt(age)
    }

    /// Whether a connection of this age was opened after the last loss.
    pub(crate) fn is_newer_than_loss(&self, age: Duration) -> bool {
        self.is_since(&self.lost_at, age)
    }

    /// Whether a connection of this age was opened after the last doubt.
    fn is_newer_than_doubt(&self, age: Duration) -> bool {
        self.is_since(&self.doubted_at, age)
    }

    fn is_since(&self, moment: &AtomicU64, age: Duration) -> bool {
        micros(self.origin.elapsed().saturating_sub(age)) >= moment.load(Ordering::Relaxed)
    }
}

/// Whether a connection is outside of a transaction.
pub(crate) async fn is_outside(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    connection.fetch_one(IS_OUTSIDE).await?.try_get(0)
}

/// Whether the database rejected a statement and left the transaction open for a rollback. PostgreSQL does so with
/// every error that it reports. SQLite may have rolled back already, unless the statement violated a constraint.
fn is_refusal(error: &DbErr) -> bool {
    match database_error(error) {
        Some(_) => sqlite_code(error).is_none_or(|code| code & 0xff == SQLITE_CONSTRAINT),
        None => false,
    }
}

/// Whether the error is a failed `fsync`.
pub(crate) fn is_not_synced(error: &DbErr) -> bool {
    sqlite_code(error).is_some_and(|code| SQLITE_NOT_SYNCED.contains(&code))
}

/// Returns SQLite's extended error code. PostgreSQL's codes have five characters and give `None`.
fn sqlite_code(error: &DbErr) -> Option<u32> {
    let code = database_error(error)?.code()?;
    if code.len() == 5 { None } else { code.parse().ok() }
}

fn database_error(error: &DbErr) -> Option<&dyn sqlx::error::DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => cause.as_database_error(),
        _ => None,
    }
}

/// Pings a connection. Returns whether the ping succeeded, or `None` if there was no response.
pub(crate) async fn ping(connection: &mut PgConnection) -> Option<bool> {
    ping_within(PATIENCE, connection).await
}

/// Pings a connection like [`ping`], with a given time limit.
pub(crate) async fn ping_within(patience: Duration, connection: &mut PgConnection) -> Option<bool> {
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
        let liveness = Liveness::default();
        assert!(liveness.is_newer_than_loss(Duration::ZERO) && liveness.is_newer_than_loss(Duration::from_mins(1)));
        liveness.mark_lost();
        assert!(!liveness.is_newer_than_loss(Duration::from_mins(1)));
        assert!(liveness.is_newer_than_loss(Duration::ZERO));
        assert!(liveness.is_newer_than_doubt(Duration::from_mins(1)));
        liveness.doubt();
        assert!(!liveness.is_newer_than_doubt(Duration::from_mins(1)));
        assert!(liveness.is_newer_than_doubt(Duration::ZERO));
    }
}
