//! Transactions that write.

use std::time::Instant;

use sea_orm::{DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;

use super::{Error, Store};

/// A transaction under way; dropping it rolls it back.
pub struct Transaction {
    tx: DatabaseTransaction,
    // Declared last, so that the next writer begins after the roll-back of a dropped one.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Store {
    /// Begins a transaction that will write.
    ///
    /// On SQLite it takes the write lock at once: a transaction that reads first and asks for the lock later is
    /// refused when another has written in between.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let asked = Instant::now();
        let turn = match &self.writer {
            Some(writer) => Some(writer.clone().lock_owned().await),
            None => None,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let db = self.db().clone();
        // On a task, because a `BEGIN` that is dropped under way leaves the connection inside a transaction that the
        // driver does not know of: whoever got the connection next would lose its writes.
        let work = async move { Ok(Transaction { tx: db.begin_with_options(options).await?, _turn: turn }) };
        let begun = tokio::spawn(work.in_current_span());
        let begun = begun.await.map_err(|error| DbErr::Custom(error.to_string()))?;
        self.statements.begins.observe(asked.elapsed());
        begun
    }
}

impl Transaction {
    /// Runs statements inside the transaction.
    #[must_use]
    pub fn db(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.tx.commit().await?)
    }

    /// Undoes it, and waits for that.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.tx.rollback().await?)
    }
}
