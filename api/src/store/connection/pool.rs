//! The connection pool of one database, and operations on the database itself.

use std::sync::Arc;

use qv_migration as migration;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use tokio::sync::Mutex;

use crate::domain::{Clock, Timestamp};
use crate::store::connection::anchor::Anchor;
use crate::store::connection::autocommit::Autocommit;
use crate::store::connection::deadline::within;
use crate::store::connection::liveness::Liveness;
use crate::store::{Error, Statements, send};

/// The connection pool of one database.
#[derive(Clone)]
pub struct Store {
    pub(super) db: Arc<Autocommit>,
    /// Lock of SQLite's single writer. Writers wait here in order, instead of polling the file's lock.
    pub(super) writer: Option<Arc<Mutex<()>>>,
    pub(super) anchor: Arc<Mutex<Option<Anchor>>>,
    pub(in crate::store) deliveries: Arc<send::Queue>,
    pub(super) statements: Arc<Statements>,
    pub(super) liveness: Arc<Liveness>,
}

/// The numbers of connections in a pool.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Open connections.
    pub size: usize,
    /// Idle connections.
    pub idle: usize,
    /// Maximum number of open connections.
    pub max: usize,
}

impl Store {
    /// Returns the executor of single statements.
    #[must_use]
    pub fn db(&self) -> &Autocommit {
        &self.db
    }

    /// Returns the number of completed statements. Tests compare it with the number that a request needs.
    #[must_use]
    pub fn statement_count(&self) -> u64 {
        self.statements.durations.count()
    }

    /// Returns the statistics about statements.
    #[must_use]
    pub fn statements(&self) -> &Statements {
        &self.statements
    }

    /// Returns the numbers of connections.
    #[must_use]
    pub fn pool(&self) -> Pool {
        fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Pool {
            let size = usize::try_from(pool.size()).unwrap_or(usize::MAX);
            let max = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
            Pool { size, idle: pool.num_idle(), max }
        }
        let db = self.db.pool().inner();
        let Some(pinned) = self.db.pinned() else { return of(db.get_sqlite_connection_pool()) };
        let pool = of(db.get_postgres_connection_pool());
        Pool { idle: pool.idle + pinned.idle_count(), ..pool }
    }

    /// Pings the database. Fails if there is no response.
    pub async fn ping(&self) -> Result<(), Error> {
        let pool = self.db.pool();
        Ok(within(pool.limit(), pool.inner().ping()).await??)
    }

    /// Returns the time of the database's clock. SQLite runs in this process and uses the machine's clock.
    pub async fn clock(&self) -> Result<Timestamp, Error> {
        Ok(database_clock(self.db()).await?.unwrap_or_else(|| Clock::System.now()))
    }

    /// Returns the migrations that this binary knows and the database lacks.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, Error> {
        let known = migration::status(self.db.pool().inner()).await?;
        Ok(known.into_iter().filter(|(_, is_applied)| !is_applied).map(|(name, _)| name).collect())
    }

    /// Closes all connections once their current work is done.
    pub async fn close(&self) -> Result<(), Error> {
        if let Some(pinned) = self.db.pinned() {
            pinned.close();
        }
        self.db.pool().inner().close_by_ref().await?;
        let anchor = self.anchor.lock().await.take();
        match anchor {
            Some(anchor) => Ok(anchor.close().await?),
            None => Ok(()),
        }
    }

    /// Moves SQLite's write-ahead log into the database, to detect a disk that loses the database's own pages.
    ///
    /// SQLite also does so after commits but ignores errors. Linux reports a failure once to each open file, so this
    /// connection also receives failures caused by others. Writers wait meanwhile, because SQLite syncs the database
    /// only once the log has stopped growing.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let _turn = writer.lock().await;
        let mut anchor = self.anchor.lock().await;
        let Some(anchor) = anchor.as_mut() else { return Ok(()) };
        let moved = anchor.checkpoint().await;
        if let Err(error) = &moved {
            self.liveness.detect_disk_failure(error);
        }
        Ok(moved?)
    }

    /// Waits until an `fsync` has failed. After that nothing is written, and the process has to end. Only a restart,
    /// which reads the files again, shows their true content.
    pub async fn disk_failed(&self) {
        self.liveness.disk_failed().cancelled().await;
    }
}

/// Returns the time of the database's clock, or `None` for SQLite, which has no clock of its own.
pub(super) async fn database_clock(db: &impl ConnectionTrait) -> Result<Option<Timestamp>, DbErr> {
    let backend = db.get_database_backend();
    if backend == DbBackend::Sqlite {
        return Ok(None);
    }
    let row = db.query_one_raw(Statement::from_string(backend, "SELECT clock_timestamp() AS now")).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("clock_timestamp".to_owned()))?;
    row.try_get("", "now").map(Some)
}
