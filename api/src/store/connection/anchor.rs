//! A connection to an SQLite file that stays open, so that its write-ahead log stays.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};
use sqlx::{ConnectOptions as _, Connection, Executor, SqliteConnection};

use crate::store::connection::liveness::is_not_synced;

/// A connection that nobody uses, beside the pool. The last connection to close a file removes its write-ahead log, and
/// the next could not make it anew on a full disk: what is stored could not even be read.
pub(crate) struct Anchor(SqliteConnection);

impl Anchor {
    /// Opens the files and moves the write-ahead log. Fails if the disk did not keep the log.
    pub(super) async fn open(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let options = db.get_sqlite_connection_pool().connect_options();
        let connection = options.connect().await.map_err(connection_error)?;
        let mut anchor = Self(connection);
        // From this first read on it holds the log. After a failed `fsync` a log may hold pages that the system takes
        // for written and the disk does not have. Here they are written once more, into the database, and synced.
        match anchor.checkpoint().await {
            Err(error) if is_not_synced(&error) => return Err(error),
            Err(error) => tracing::warn!(%error, "the write-ahead log was not moved into the database"),
            Ok(()) => {}
        }
        Ok(anchor)
    }

    /// Writes what is in the write-ahead log into the database, and syncs both.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), DbErr> {
        self.0.execute("PRAGMA wal_checkpoint(PASSIVE)").await.map_err(connection_error)?;
        Ok(())
    }

    /// Closes the files. The last connection to close moves the write-ahead log into the database and removes it.
    pub(crate) async fn close(self) -> Result<(), DbErr> {
        self.0.close().await.map_err(connection_error)
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}
