//! Connections that single statements on PostgreSQL keep to themselves, so that handing one back costs nothing.
//!
//! The driver's pool asks every connection that comes back for a sign of life: a round trip, and a task of its own, after
//! each statement. A lane is a connection of the pool that is not given back. It waits here when its statement has been
//! answered to the end, and is closed when it was not: nobody after it can find rows that were never read.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, Statement};
use sqlx::{
    PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgDatabaseError, PgSeverity},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::timeout,
};

use crate::store::{
    Statements,
    connection::{
        deadline::{LAST_WORD, Limit, no_answer},
        liveness::{IDLE_BEFORE_TEST, Liveness, is_outside, ping, ping_within},
    },
};

/// For how long a lane is believed to live before a statement that writes, which cannot be tried again.
const IDLE_BEFORE_WRITE: Duration = Duration::from_secs(1);

/// Sends a statement and reads its answer to the end.
pub(crate) type Ask<T> = for<'c> fn(&'c mut PgConnection, Statement) -> BoxFuture<'c, Result<T, sqlx::Error>>;

/// A bounded number of connections, of which the one used last is used next, so that few are warm.
pub(crate) struct PinnedConnections {
    pool: PgPool,
    patience: Duration,
    liveness: Arc<Liveness>,
    statements: Arc<Statements>,
    turns: Arc<Semaphore>,
    waiting: Mutex<VecDeque<PinnedConnection>>,
}

struct PinnedConnection {
    connection: PoolConnection<Postgres>,
    /// It was trusted then.
    since: Instant,
    idle_since: Instant,
}

/// A lane in use. Unless it is handed back it is closed.
struct PinnedInUse<'a> {
    pinned: &'a PinnedConnections,
    held: Option<(PinnedConnection, OwnedSemaphorePermit)>,
}

impl PinnedConnections {
    /// Four of five connections of the pool can become lanes; the rest is left to transactions.
    pub(crate) fn new(pool: PgPool, limit: &Limit, statements: Arc<Statements>) -> Self {
        let most = usize::try_from(pool.options().get_max_connections() * 4 / 5).unwrap_or(Semaphore::MAX_PERMITS);
        let turns = Arc::new(Semaphore::new(most.max(1)));
        let (patience, liveness) = (limit.patience, Arc::clone(&limit.liveness));
        Self { pool, patience, liveness, statements, turns, waiting: Mutex::default() }
    }

    /// Gives the pool back the lane that has waited for longest, where a transaction would find nothing left.
    pub(crate) fn make_room(&self) {
        if self.pool.num_idle() == 0 && self.pool.size() >= self.pool.options().get_max_connections() {
            let cold = self.waiting.lock().pop_front();
            drop(cold);
        }
    }

    /// How many lanes nobody uses.
    pub(crate) fn idle(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Ends what is idle now, and the rest as it comes back.
    pub(crate) fn close(&self) {
        self.turns.close();
        self.waiting.lock().clear();
    }

    /// Runs a statement, and once more if it only reads and its connection turned out to be gone.
    pub(crate) async fn run<T>(
        &self,
        statement: Statement,
        failed: fn(RuntimeErr) -> DbErr,
        ask: Ask<T>,
    ) -> Result<T, DbErr> {
        let asked = Instant::now();
        let again = reads(&statement.sql).then(|| statement.clone());
        let believed = if again.is_some() { IDLE_BEFORE_TEST } else { IDLE_BEFORE_WRITE };
        let mut answer = self.run_once(statement, asked, believed, ask).await?;
        if let (Err(error), Some(statement)) = (&answer, again)
            && is_of_the_connection(error)
        {
            answer = self.run_once(statement, asked, believed, ask).await?;
        }
        answer.map_err(|error| failed(RuntimeErr::SqlxError(Arc::new(error))))
    }

    /// What the database answers; the outer error says that it has not been asked, or has not answered.
    async fn run_once<T>(
        &self,
        statement: Statement,
        asked: Instant,
        believed: Duration,
        ask: Ask<T>,
    ) -> Result<Result<T, sqlx::Error>, DbErr> {
        let mut turn = self.take(believed).await?;
        let Some((pinned, _)) = &mut turn.held else { return Err(no_answer()) };
        let began = Instant::now();
        let waited = began.duration_since(asked);
        let answer = timeout(self.patience.saturating_sub(waited), ask(&mut pinned.connection, statement)).await;
        let Ok(answer) = answer else {
            // PostgreSQL has had the time to say that it ended the statement. Trust is lost before the lane is dropped.
            if waited < LAST_WORD {
                self.liveness.lose();
            }
            return Err(no_answer());
        };
        self.statements.durations.observe(began.elapsed());
        if let Err(error) = &answer {
            self.statements.failed.add();
            if is_of_the_connection(error) {
                self.give_up(pinned, error);
                return Ok(answer);
            }
            // What follows a refusal is still on its way.
            let is_refusal = matches!(error, sqlx::Error::Database(_));
            if !is_refusal || ping(&mut pinned.connection).await != Some(true) {
                return Ok(answer);
            }
        }
        turn.hand_back();
        Ok(answer)
    }

    /// A server that ended one connection has most likely ended all: the first to notice spares the others the same.
    fn give_up(&self, pinned: &PinnedConnection, error: &sqlx::Error) {
        if self.liveness.covers(pinned.since.elapsed()) {
            tracing::warn!(%error, "a connection to the database is gone: those that were made before it are not used any more");
            self.liveness.lose();
        }
    }

    async fn take(&self, believed: Duration) -> Result<PinnedInUse<'_>, DbErr> {
        let began = Instant::now();
        let patience = self.pool.options().get_acquire_timeout();
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Err(TryAcquireError::NoPermits) => {
                let turn = timeout(patience, Arc::clone(&self.turns).acquire_owned()).await;
                turn.map_err(|_| unavailable(ConnAcquireErr::Timeout))?.ok()
            }
            turn => turn.ok(),
        };
        let turn = turn.ok_or_else(|| unavailable(ConnAcquireErr::ConnectionClosed))?;
        while let Some(mut pinned) = self.next_waiting() {
            let (age, idle_for) = (pinned.since.elapsed(), pinned.idle_since.elapsed());
            // The pool closes what is too old when it gets it back.
            if self.pool.options().get_max_lifetime().is_none_or(|most| age < most)
                && self.liveness.admits(&mut pinned.connection, age, idle_for >= believed).await
            {
                return Ok(PinnedInUse { pinned: self, held: Some((pinned, turn)) });
            }
        }
        // Seldom, and in a box: otherwise every statement's future would have the room for it.
        let pinned = timeout(patience.saturating_sub(began.elapsed()), Box::pin(self.make())).await;
        let pinned = pinned.map_err(|_| unavailable(ConnAcquireErr::Timeout))?.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => unavailable(ConnAcquireErr::Timeout),
            sqlx::Error::PoolClosed => unavailable(ConnAcquireErr::ConnectionClosed),
            error => DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))),
        })?;
        Ok(PinnedInUse { pinned: self, held: Some((pinned, turn)) })
    }

    /// A connection of the pool, which no transaction has left behind.
    async fn make(&self) -> Result<PinnedConnection, sqlx::Error> {
        loop {
            let since = Instant::now();
            let mut connection = self.pool.acquire().await?;
            match is_outside(&mut connection).await {
                Ok(true) => return Ok(PinnedConnection { connection, since, idle_since: since }),
                Err(error) if !is_of_the_connection(&error) => return Err(error),
                _ => connection.close_on_drop(),
            }
        }
    }

    fn next_waiting(&self) -> Option<PinnedConnection> {
        self.waiting.lock().pop_back()
    }
}

impl Drop for PinnedConnections {
    fn drop(&mut self) {
        // The driver takes a connection back on a task: where there is no runtime any more it would panic.
        if Handle::try_current().is_err() {
            mem::forget(mem::take(&mut *self.waiting.lock()));
        }
    }
}

impl PinnedInUse<'_> {
    /// Its statement has been answered to the end.
    fn hand_back(mut self) {
        let Some((mut pinned, turn)) = self.held.take() else { return };
        pinned.idle_since = Instant::now();
        let mut waiting = self.pinned.waiting.lock();
        // Under the lock, so that none is left behind when all are closed.
        if self.pinned.turns.is_closed() {
            return;
        }
        waiting.push_back(pinned);
        // The one that has waited for longest is at the front. It would have to be asked for a sign of life as well, and
        // may be of more use to transactions.
        let cold = waiting.pop_front_if(|pinned| pinned.idle_since.elapsed() >= IDLE_BEFORE_TEST);
        drop(waiting);
        drop((cold, turn));
    }
}

impl Drop for PinnedInUse<'_> {
    fn drop(&mut self) {
        let Some((mut pinned, turn)) = self.held.take() else { return };
        pinned.connection.close_on_drop();
        // The database may be at a statement that nobody waits for any more. Its place stays taken meanwhile: whoever
        // asks and leaves must not get another connection each time.
        if self.pinned.liveness.covers(pinned.since.elapsed()) {
            let patience = self.pinned.patience;
            tokio::spawn(async move {
                ping_within(patience, &mut pinned.connection).await;
                drop((pinned, turn));
            });
        }
    }
}

/// Whether a statement changes nothing, however often it runs.
fn reads(sql: &str) -> bool {
    sql.starts_with("SELECT ")
}

/// Whether the connection has ended, or is about to.
fn is_of_the_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => false,
    }
}

fn unavailable(cause: ConnAcquireErr) -> DbErr {
    DbErr::ConnectionAcquire(cause)
}
