//! Pinned connections: PostgreSQL connections that are reserved for single statements, outside of the pool.
//!
//! The pool of `sqlx` pings a connection each time one is returned (`return_to_pool`), on a task. That costs a round
//! trip for each statement: 76 us instead of 28 (docs/performance.md). A pinned connection is acquired from the pool
//! and kept here instead. It is reused once its statement's response has been read to the end. Otherwise it is closed,
//! so that no later statement reads rows of an earlier one.
//!
//! The test below fails when the pool no longer pings. Then this file can go, and statements run on the pool, as on
//! SQLite.

use std::time::{Duration, Instant};
use std::{collections::VecDeque, mem, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, Statement};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::{runtime::Handle, time::timeout};

use crate::store::Statements;
use crate::store::connection::deadline::{LAST_WORD, Limit, no_answer};
use crate::store::connection::liveness::{IDLE_BEFORE_TEST, Liveness, is_outside, ping, ping_within};

/// Idle time after which a connection is pinged before a write, which cannot be retried.
const IDLE_BEFORE_WRITE: Duration = Duration::from_secs(1);

/// Function that sends a statement and reads its response to the end.
pub(crate) type Execute<T> = for<'c> fn(&'c mut PgConnection, Statement) -> BoxFuture<'c, Result<T, sqlx::Error>>;

/// A bounded set of pinned connections. The most recently used is reused first, so that few stay in use.
pub(crate) struct PinnedConnections {
    pool: PgPool,
    patience: Duration,
    liveness: Arc<Liveness>,
    statements: Arc<Statements>,
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<PinnedConnection>>,
}

struct PinnedConnection {
    connection: PoolConnection<Postgres>,
    /// When the connection was known to be good.
    since: Instant,
    idle_since: Instant,
}

/// A connection in use. It is closed when dropped, unless it is released.
struct PinnedInUse<'a> {
    pinned: &'a PinnedConnections,
    held: Option<(PinnedConnection, OwnedSemaphorePermit)>,
}

impl PinnedConnections {
    /// Creates a set of at most four fifths of the pool's connections. The rest is left to transactions.
    pub(crate) fn new(pool: PgPool, limit: &Limit, statements: Arc<Statements>) -> Self {
        let most = usize::try_from(pool.options().get_max_connections() * 4 / 5).unwrap_or(Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(most.max(1)));
        let (patience, liveness) = (limit.patience, Arc::clone(&limit.liveness));
        Self { pool, patience, liveness, statements, permits, idle: Mutex::default() }
    }

    /// Returns the connection that was idle longest to the pool, if a transaction would find none there.
    pub(crate) fn release_idle(&self) {
        if self.pool.num_idle() == 0 && self.pool.size() >= self.pool.options().get_max_connections() {
            let oldest = self.idle.lock().pop_front();
            drop(oldest);
        }
    }

    /// Returns the number of idle connections.
    pub(crate) fn idle_count(&self) -> usize {
        self.idle.lock().len()
    }

    /// Closes idle connections now, and the others when they are released.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }

    /// Runs a statement. Retries a read once if its connection was lost.
    pub(crate) async fn run<T>(
        &self,
        statement: Statement,
        failed: fn(RuntimeErr) -> DbErr,
        execute: Execute<T>,
    ) -> Result<T, DbErr> {
        let asked = Instant::now();
        let retry = is_read_only(&statement.sql).then(|| statement.clone());
        let ping_after = if retry.is_some() { IDLE_BEFORE_TEST } else { IDLE_BEFORE_WRITE };
        let mut answer = self.run_once(statement, asked, ping_after, execute).await?;
        if let (Err(error), Some(statement)) = (&answer, retry)
            && is_connection_error(error)
        {
            answer = self.run_once(statement, asked, ping_after, execute).await?;
        }
        answer.map_err(|error| failed(RuntimeErr::SqlxError(Arc::new(error))))
    }

    /// Runs a statement once. The outer error means that the database did not respond.
    async fn run_once<T>(
        &self,
        statement: Statement,
        asked: Instant,
        ping_after: Duration,
        execute: Execute<T>,
    ) -> Result<Result<T, sqlx::Error>, DbErr> {
        let mut in_use = self.acquire(ping_after).await?;
        let Some((pinned, _)) = &mut in_use.held else { return Err(no_answer()) };
        let began = Instant::now();
        let waited = began.duration_since(asked);
        let answer = timeout(self.patience.saturating_sub(waited), execute(&mut pinned.connection, statement)).await;
        let Ok(answer) = answer else {
            // PostgreSQL had time to report its own timeout, so the connection is silent. Marked before the connection
            // is dropped.
            if waited < LAST_WORD {
                self.liveness.mark_lost();
            }
            return Err(no_answer());
        };
        self.statements.durations.observe(began.elapsed());
        if let Err(error) = &answer {
            self.statements.failed.add();
            if is_connection_error(error) {
                self.mark_lost(pinned, error);
                return Ok(answer);
            }
            // After a database error the rest of the response is still on its way. The ping reads it.
            let is_refusal = matches!(error, sqlx::Error::Database(_));
            if !is_refusal || ping(&mut pinned.connection).await != Some(true) {
                return Ok(answer);
            }
        }
        in_use.release();
        Ok(answer)
    }

    /// Marks all connections as lost. A server that ended one has most likely ended all.
    fn mark_lost(&self, pinned: &PinnedConnection, error: &sqlx::Error) {
        if self.liveness.is_newer_than_loss(pinned.since.elapsed()) {
            tracing::warn!(%error, "a database connection was lost; discarding all older connections");
            self.liveness.mark_lost();
        }
    }

    async fn acquire(&self, ping_after: Duration) -> Result<PinnedInUse<'_>, DbErr> {
        let began = Instant::now();
        let patience = self.pool.options().get_acquire_timeout();
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Err(TryAcquireError::NoPermits) => {
                let permit = timeout(patience, Arc::clone(&self.permits).acquire_owned()).await;
                permit.map_err(|_| unavailable(ConnAcquireErr::Timeout))?.ok()
            }
            permit => permit.ok(),
        };
        let permit = permit.ok_or_else(|| unavailable(ConnAcquireErr::ConnectionClosed))?;
        while let Some(mut pinned) = self.pop_idle() {
            let (age, idle_for) = (pinned.since.elapsed(), pinned.idle_since.elapsed());
            // A connection that is too old returns to the pool, which closes it.
            if self.pool.options().get_max_lifetime().is_none_or(|most| age < most)
                && self.liveness.is_usable(&mut pinned.connection, age, idle_for >= ping_after).await
            {
                return Ok(PinnedInUse { pinned: self, held: Some((pinned, permit)) });
            }
        }
        // Boxed because opening a connection is rare.
        let pinned = timeout(patience.saturating_sub(began.elapsed()), Box::pin(self.connect())).await;
        let pinned = pinned.map_err(|_| unavailable(ConnAcquireErr::Timeout))?.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => unavailable(ConnAcquireErr::Timeout),
            sqlx::Error::PoolClosed => unavailable(ConnAcquireErr::ConnectionClosed),
            error => DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))),
        })?;
        Ok(PinnedInUse { pinned: self, held: Some((pinned, permit)) })
    }

    /// Acquires a connection from the pool that is outside of a transaction.
    async fn connect(&self) -> Result<PinnedConnection, sqlx::Error> {
        loop {
            let since = Instant::now();
            let mut connection = self.pool.acquire().await?;
            match is_outside(&mut connection).await {
                Ok(true) => return Ok(PinnedConnection { connection, since, idle_since: since }),
                Err(error) if !is_connection_error(&error) => return Err(error),
                _ => connection.close_on_drop(),
            }
        }
    }

    fn pop_idle(&self) -> Option<PinnedConnection> {
        self.idle.lock().pop_back()
    }
}

impl Drop for PinnedConnections {
    fn drop(&mut self) {
        // The driver returns connections on a task, which would panic without a runtime.
        if Handle::try_current().is_err() {
            mem::forget(mem::take(&mut *self.idle.lock()));
        }
    }
}

impl PinnedInUse<'_> {
    /// Marks the connection as idle, after its response was read to the end.
    fn release(mut self) {
        let Some((mut pinned, permit)) = self.held.take() else { return };
        pinned.idle_since = Instant::now();
        let mut idle = self.pinned.idle.lock();
        // Checked under the lock, so that `close` misses no connection.
        if self.pinned.permits.is_closed() {
            return;
        }
        idle.push_back(pinned);
        // The front was idle longest and needs a ping by now anyway. So it returns to the pool, for transactions.
        let oldest = idle.pop_front_if(|pinned| pinned.idle_since.elapsed() >= IDLE_BEFORE_TEST);
        drop(idle);
        drop((oldest, permit));
    }
}

impl Drop for PinnedInUse<'_> {
    fn drop(&mut self) {
        let Some((mut pinned, permit)) = self.held.take() else { return };
        pinned.connection.close_on_drop();
        // The database may still run the statement. The permit is kept until then, so that clients that disconnect
        // early cannot occupy more and more connections.
        if self.pinned.liveness.is_newer_than_loss(pinned.since.elapsed()) {
            let patience = self.pinned.patience;
            tokio::spawn(async move {
                ping_within(patience, &mut pinned.connection).await;
                drop((pinned, permit));
            });
        }
    }
}

/// Whether a statement only reads.
fn is_read_only(sql: &str) -> bool {
    sql.starts_with("SELECT ")
}

/// Whether an error means that the connection has ended or is about to.
fn is_connection_error(error: &sqlx::Error) -> bool {
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

#[cfg(test)]
mod tests {
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const AUTHENTICATION_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const READY_FOR_QUERY: &[u8] = b"Z\0\0\0\x05I";

    /// Reads the rest of a message, which begins with its length.
    async fn skip_message(stream: &mut TcpStream) {
        let length = stream.read_u32().await.expect("a length");
        stream.read_exact(&mut vec![0; length as usize - 4]).await.expect("a message");
    }

    #[tokio::test]
    async fn the_pool_still_pings_each_connection_that_is_returned() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).ssl_mode(PgSslMode::Disable);
        let pool = PgPoolOptions::new().test_before_acquire(false).connect_lazy_with(options);
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            skip_message(&mut stream).await;
            stream.write_all(&[AUTHENTICATION_OK, READY_FOR_QUERY].concat()).await.expect("an answer");
            stream
        };
        let (connection, mut stream) = tokio::join!(pool.acquire(), server);
        drop(connection.expect("a connection"));
        let ping = timeout(Duration::from_secs(5), stream.read_u8()).await;
        let message = "the pool no longer pings: pinned connections can be replaced by the pool";
        assert_eq!(ping.expect(message).expect(message), b'S', "{message}");
    }
}
