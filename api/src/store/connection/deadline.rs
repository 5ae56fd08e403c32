//! Deadlines for statements, which hold even if the database no longer responds.
//!
//! PostgreSQL ends slow statements itself, but only while the server runs and the network path works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use sea_orm::prelude::async_trait;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sqlx::PgPool;

use crate::store::connection::liveness::Liveness;

/// Time beyond PostgreSQL's own statement timeout in which the server can still report that timeout.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(500);

/// An executor of statements on a pool or in a transaction, each with a time limit.
pub struct WithDeadline<C> {
    inner: C,
    limit: Option<Limit>,
    liveness: Arc<Liveness>,
    /// `None` where each statement commits on its own.
    transaction: Option<TransactionState>,
}

/// The state of a transaction.
#[derive(Default)]
struct TransactionState {
    /// Whether a statement has failed, which ends the transaction. PostgreSQL would then report a `COMMIT` as
    /// successful but roll back. SQLite may have rolled back already, and would commit each later statement on its own.
    has_failed: AtomicBool,
    /// Whether a response timed out.
    is_silent: AtomicBool,
}

/// Time limit of a response.
#[derive(Clone)]
pub(crate) struct Limit {
    pub(crate) patience: Duration,
    pub(crate) liveness: Arc<Liveness>,
    /// Pool from which a statement without a connection acquires one.
    pub(crate) pool: Option<PgPool>,
}

impl Limit {
    /// Returns the limit for statements that already have a connection.
    pub(crate) fn without_pool(&self) -> Self {
        Self { pool: None, ..self.clone() }
    }

    /// Whether a statement that begins now gets a connection at once. If so, only a silent network path can exhaust the
    /// time limit. If not, the statement first waits for a connection, and no idle connection exists that could be
    /// silent.
    fn has_idle_connection(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.num_idle() > 0)
    }
}

impl<C> WithDeadline<C> {
    pub(crate) fn pool(inner: C, limit: Option<Limit>, liveness: Arc<Liveness>) -> Self {
        Self { inner, limit, liveness, transaction: None }
    }

    pub(crate) fn inner(&self) -> &C {
        &self.inner
    }

    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.check_writable()?;
        let answer = within(self.limit(), answer).await;
        let is_silent = answer.is_err();
        let answer = answer.flatten();
        if let Err(error) = &answer {
            self.liveness.detect_disk_failure(error);
            if let Some(transaction) = &self.transaction {
                transaction.has_failed.store(true, Ordering::Relaxed);
                transaction.is_silent.fetch_or(is_silent, Ordering::Relaxed);
                self.liveness.doubt_after(error);
            }
        }
        answer
    }

    /// Fails if the disk or the transaction has failed, because later writes would be lost.
    fn check_writable(&self) -> Result<(), DbErr> {
        if self.liveness.disk_failed().is_cancelled() {
            return Err(disk_failed());
        }
        if self.transaction.as_ref().is_some_and(|transaction| transaction.has_failed.load(Ordering::Relaxed)) {
            return Err(DbErr::Custom("an earlier statement of this transaction failed".to_owned()));
        }
        Ok(())
    }
}

impl WithDeadline<DatabaseTransaction> {
    pub(crate) fn transaction(inner: DatabaseTransaction, limit: Option<Limit>, liveness: Arc<Liveness>) -> Self {
        Self { inner, limit, liveness, transaction: Some(TransactionState::default()) }
    }

    /// Commits. Rolls back and fails if a statement has failed.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.check_writable()?;
        let Self { inner, limit, liveness, .. } = self;
        Self::end(inner.commit(), limit.as_ref(), &liveness).await
    }

    /// Rolls back.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let Self { inner, limit, liveness, transaction } = self;
        // A silent connection is dropped, and the transaction with it.
        if transaction.is_some_and(|transaction| transaction.is_silent.into_inner()) {
            return Ok(());
        }
        Self::end(inner.rollback(), limit.as_ref(), &liveness).await
    }

    async fn end(
        end: impl Future<Output = Result<(), DbErr>>,
        limit: Option<&Limit>,
        liveness: &Liveness,
    ) -> Result<(), DbErr> {
        let ended = within(limit, end).await.flatten();
        if let Err(error) = &ended {
            // The connection may be back in the pool already. Only its transaction depth keeps others from using it
            // there.
            liveness.doubt();
            liveness.detect_disk_failure(error);
        }
        ended
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait> ConnectionTrait for WithDeadline<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.within(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.within(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.within(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.within(self.inner.query_all_raw(statement)).await
    }
}

/// Waits for a response, up to the time limit.
pub(crate) async fn within<T>(
    limit: Option<&Limit>,
    answer: impl Future<Output = Result<T, DbErr>>,
) -> Result<Result<T, DbErr>, DbErr> {
    let Some(limit) = limit else { return Ok(answer.await) };
    // Connections are marked before the future is dropped, because dropping it returns its connection to the pool.
    let (mut answer, had_connection) = (pin!(answer), limit.has_idle_connection());
    tokio::time::timeout(limit.patience, answer.as_mut()).await.map_err(|_| {
        limit.liveness.doubt();
        if had_connection {
            limit.liveness.mark_lost();
        }
        no_answer()
    })
}

pub(crate) fn disk_failed() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("fsync failed before".to_owned()))
}

pub(crate) fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("no response in time".to_owned()))
}
