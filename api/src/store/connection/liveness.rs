//! Which connections of the pool may be used: those of which the driver and the database believe the same.
//!
//! A path that went silent is silent for all connections that were made before, and the driver would try one after the
//! other. A connection of which the driver believes another depth of transactions than the database has is worse: what
//! the next user commits on it may never be committed.
//!
//! The two differ in these cases only, and an error or a given-up answer comes before each of them:
//!
//! - SQLite rolls back by itself when the disk is full, an input or output fails, or memory runs out. The driver's
//!   depth stays. Its next `BEGIN` is a savepoint, and once one of these is rolled back to, no later one is ever
//!   committed.
//! - A `COMMIT` or `ROLLBACK` fails: the driver's depth stays, and whether the transaction is over depends on the
//!   error.
//! - On PostgreSQL a `BEGIN` is given up: the driver knows of no transaction, and the database may be inside one.
//!
//! So a connection of SQLite is used only at the depth 0, which reading one number tells. The depth falls to 0 only by
//! a
//! `COMMIT` or a `ROLLBACK` that succeeded, after which SQLite is outside of a transaction as well. Beyond that every
//! connection that was open at such an error is doubted: SQLite's are closed, and those of PostgreSQL are asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{DbErr, RuntimeErr};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection, pool::PoolConnectionMetadata};
use tokio_util::sync::CancellationToken;

/// How long a connection may say nothing when it is asked whether it lives.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection is believed to live without being asked.
pub(crate) const IDLE_BEFORE_TEST: Duration = Duration::from_secs(30);
/// Whether a connection is outside of a transaction: time stands still within one.
const IS_OUTSIDE: &str = "SELECT now() = statement_timestamp()";
/// SQLite's primary code of a statement that breaks a rule of a table. The transaction stays as it was.
const SQLITE_CONSTRAINT: u32 = 19;
/// SQLite's codes of a file and of a folder that the operating system could not bring to the disk.
const SQLITE_NOT_SYNCED: [u32; 2] = [1034, 1290];

/// When an answer was last given up, and when a transaction last failed. Times are those since this began.
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
    /// Marks all current connections as lost, after an answer that did not come.
    pub(crate) fn mark_lost(&self) {
        self.lost_at.store(micros(self.origin.elapsed()), Ordering::Relaxed);
    }

    /// Marks all current connections as doubtful: driver and database may disagree on their transactions.
    pub(crate) fn doubt(&self) {
        self.doubted_at.store(micros(self.origin.elapsed()), Ordering::Relaxed);
    }

    /// Doubts connections after the error of a statement within a transaction, unless only the statement was refused.
    pub(crate) fn doubt_after(&self, error: &DbErr) {
        if !is_refusal(error) {
            self.doubt();
        }
    }

    /// Detects a disk that failed to keep what was written. Linux reports a failure once and then takes the lost pages
    /// for written, so no later success can be trusted.
    pub(crate) fn detect_disk_failure(&self, error: &DbErr) {
        if is_not_synced(error) && !self.disk_failed.is_cancelled() {
            tracing::error!(%error, "the disk did not keep what was written");
            self.disk_failed.cancel();
        }
    }

    /// Set once the disk has failed to keep what was written.
    pub(crate) fn disk_failed(&self) -> &CancellationToken {
        &self.disk_failed
    }

    /// Whether an idle connection can be used. Pings it only if it may have died meanwhile.
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

    /// Whether a returned connection can stay in the pool. The driver itself would wait without limit for the rest of
    /// an answer. A silent connection is no sign about others: it may run a statement that nobody waits for any more.
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

    /// Whether a connection to a file can be used. The pool has finished what its last user left to be done.
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

/// Whether the database refused a statement and left its transaction to be rolled back. PostgreSQL does so with every
/// error that it tells of. SQLite may have rolled back already, unless the statement broke a rule of a table.
fn is_refusal(error: &DbErr) -> bool {
    match database_error(error) {
        Some(_) => sqlite_code(error).is_none_or(|code| code & 0xff == SQLITE_CONSTRAINT),
        None => false,
    }
}

/// Whether the operating system could not bring to the disk what was written.
pub(crate) fn is_not_synced(error: &DbErr) -> bool {
    sqlite_code(error).is_some_and(|code| SQLITE_NOT_SYNCED.contains(&code))
}

/// SQLite's extended code. Those of PostgreSQL have five characters.
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

/// Whether a connection can be used, if it says anything.
pub(crate) async fn ping(connection: &mut PgConnection) -> Option<bool> {
    ping_within(PATIENCE, connection).await
}

/// The same with more patience.
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
