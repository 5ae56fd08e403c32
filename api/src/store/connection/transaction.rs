//! Transactions that write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::{sync::OwnedMutexGuard, time::timeout};

use crate::store::Error;
use crate::store::connection::deadline::{Limit, WithDeadline, disk_failed, within};
use crate::store::connection::pool::Store;
use crate::telemetry;

/// Time that a writer on SQLite waits for earlier writers.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// An open transaction. Dropping it rolls it back.
pub struct Transaction {
    tx: WithDeadline<DatabaseTransaction>,
    // Declared last, so that the next writer begins after the rollback of a dropped transaction.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Store {
    /// Begins a transaction that will write.
    ///
    /// On SQLite the transaction takes the write lock at once. If it read first and took the lock later, it would fail
    /// when another had written in between.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        if self.liveness.disk_failed().is_cancelled() {
            return Err(disk_failed().into());
        }
        let asked = Instant::now();
        let turn = match &self.writer {
            Some(writer) => Some(timeout(TURN_TIMEOUT, writer.clone().lock_owned()).await.map_err(|_| busy())?),
            None => None,
        };
        if let Some(pinned) = self.db.pinned() {
            pinned.release_idle();
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let (db, limit) = (self.db.pool().inner().clone(), self.db.pool().limit().cloned());
        let liveness = Arc::clone(&self.liveness);
        // Runs on a task, because a dropped `BEGIN` leaves the connection inside a transaction unknown to the driver.
        // The connection's next user would then lose its writes.
        let work = async move {
            let tx = within(limit.as_ref(), db.begin_with_options(options)).await??;
            let limit = limit.as_ref().map(Limit::without_pool);
            Ok(Transaction { tx: WithDeadline::transaction(tx, limit, liveness), _turn: turn })
        };
        let begun = tokio::spawn(telemetry::carry(work));
        let begun = begun.await.map_err(|error| DbErr::Custom(error.to_string()))?;
        self.statements.begins.observe(asked.elapsed());
        begun
    }
}

impl Transaction {
    /// Returns the executor of statements in the transaction.
    #[must_use]
    pub fn db(&self) -> &WithDeadline<DatabaseTransaction> {
        &self.tx
    }

    /// Commits. Rolls back and fails if a statement has failed.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }

    /// Rolls back.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.tx.rollback().await?)
    }
}

fn busy() -> Error {
    Error::Unavailable("timed out waiting for other writers".to_owned())
}
