//! An SQLite connection that stays open, so that the write-ahead log is not removed.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use sqlx::{ConnectOptions as _, Connection, Executor, SqliteConnection};

use crate::store::connection::liveness::is_not_synced;

/// A connection beside the pool that runs only checkpoints. The last connection to close a file removes its write-ahead
/// log. The next one could not create the log again on a full disk, so even reads would fail.
pub(crate) struct Anchor(SqliteConnection);

impl Anchor {
    /// Opens the files and checkpoints the write-ahead log. Fails if the log cannot be synced to disk.
    pub(super) async fn open(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let options = db.get_sqlite_connection_pool().connect_options();
        let connection = options.connect().await.map_err(connection_error)?;
        let mut anchor = Self(connection);
        // This first read keeps the log from being removed. After a failed `fsync`, a log may hold pages that Linux
        // considers written but the disk lacks. The checkpoint writes them again, into the database, and syncs that.
        match anchor.checkpoint().await {
            Err(error) if is_not_synced(&error) => return Err(error),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be checkpointed"),
            Ok(()) => {}
        }
        Ok(anchor)
    }

    /// Writes the write-ahead log into the database, and syncs both.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), DbErr> {
        self.0.execute("PRAGMA wal_checkpoint(PASSIVE)").await.map_err(connection_error)?;
        Ok(())
    }

    /// Closes the files. The last connection to close checkpoints the write-ahead log and removes it.
    pub(crate) async fn close(self) -> Result<(), DbErr> {
        self.0.close().await.map_err(connection_error)
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}
