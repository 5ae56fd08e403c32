//! The pool of connections to one database, and what is asked of the database itself.

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

/// The pool of connections to one database.
#[derive(Clone)]
pub struct Store {
    pub(super) db: Arc<Autocommit>,
    /// SQLite has one writer at a time: waiting here is fair and costs nothing, waiting there is neither.
    pub(super) writer: Option<Arc<Mutex<()>>>,
    pub(super) anchor: Arc<Mutex<Option<Anchor>>>,
    pub(in crate::store) deliveries: Arc<send::Queue>,
    pub(super) statements: Arc<Statements>,
    pub(super) liveness: Arc<Liveness>,
}

/// Connections.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// That are open.
    pub size: usize,
    /// That nobody uses.
    pub idle: usize,
    /// That may be open.
    pub max: usize,
}

impl Store {
    /// Runs single statements.
    #[must_use]
    pub fn db(&self) -> &Autocommit {
        &self.db
    }

    /// How many statements have been answered; tests hold this against what a request should need.
    #[must_use]
    pub fn statement_count(&self) -> u64 {
        self.statements.durations.count()
    }

    /// What is counted of statements.
    #[must_use]
    pub fn statements(&self) -> &Statements {
        &self.statements
    }

    /// The connections.
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

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        let pool = self.db.pool();
        Ok(within(pool.limit(), pool.inner().ping()).await??)
    }

    /// Returns the time by the database's clock. SQLite runs in this process and uses the machine's.
    pub async fn clock(&self) -> Result<Timestamp, Error> {
        Ok(database_clock(self.db()).await?.unwrap_or_else(|| Clock::System.now()))
    }

    /// The changes of the schema that this binary knows and the database does not have.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, Error> {
        let known = migration::status(self.db.pool().inner()).await?;
        Ok(known.into_iter().filter(|(_, is_applied)| !is_applied).map(|(name, _)| name).collect())
    }

    /// Ends all connections after what they are doing.
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

    /// Moves SQLite's write-ahead log into the database, and so notices a disk that fails to keep the database itself.
    ///
    /// SQLite moves the log after a commit and passes over its errors. Linux tells each open file of a failure once, so
    /// this connection hears of what another has met. Writers wait meanwhile, for SQLite syncs only what has come to
    /// rest.
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

    /// Waits until the disk has failed to keep what was written. Nothing is written after that, and the process has to
    /// end: only a start that reads the files again finds out what they hold.
    pub async fn disk_failed(&self) {
        self.liveness.disk_failed().cancelled().await;
    }
}

/// Returns the time by the database's clock, or nothing for SQLite, which has none of its own.
pub(super) async fn database_clock(db: &impl ConnectionTrait) -> Result<Option<Timestamp>, DbErr> {
    let backend = db.get_database_backend();
    if backend == DbBackend::Sqlite {
        return Ok(None);
    }
    let row = db.query_one_raw(Statement::from_string(backend, "SELECT clock_timestamp() AS now")).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("clock_timestamp".to_owned()))?;
    row.try_get("", "now").map(Some)
}
