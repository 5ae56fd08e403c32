//! Statements that end in time, also when the database says nothing any more.
//!
//! PostgreSQL ends a statement that takes too long, but only as long as it runs and the path to it carries anything.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
    prelude::async_trait,
};
use sqlx::PgPool;

use crate::store::connection::liveness::Liveness;

/// Time beyond PostgreSQL's own statement time-out in which it can still report what it ended.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(500);

/// Runs statements on whatever it holds, and gives up on one whose answer does not come.
pub struct WithDeadline<C> {
    inner: C,
    limit: Option<Limit>,
    liveness: Arc<Liveness>,
    kind: Kind,
    has_given_up: AtomicBool,
}

/// Kind of connection that statements run on.
enum Kind {
    Pool,
    /// An error ends a transaction, whatever comes after it. PostgreSQL would answer its `COMMIT` with success and roll
    /// back. SQLite may have rolled back already, and would commit each later statement by itself.
    Transaction {
        has_failed: AtomicBool,
    },
}

/// For how long an answer is waited for, and who hears that it was given up.
#[derive(Clone)]
pub(crate) struct Limit {
    pub(crate) patience: Duration,
    pub(crate) liveness: Arc<Liveness>,
    /// Where a statement that has no connection gets one.
    pub(crate) pool: Option<PgPool>,
}

impl Limit {
    /// The same for statements that have a connection.
    pub(crate) fn of_connection(&self) -> Self {
        Self { pool: None, ..self.clone() }
    }

    /// Whether a statement that begins now runs at once, so that only silence can take all the patience. One that finds
    /// no connection waiting must first wait for one or make one; nor is any left then that could be silent as well.
    fn runs_at_once(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.num_idle() > 0)
    }
}

impl<C> WithDeadline<C> {
    pub(crate) fn pool(inner: C, limit: Option<Limit>, liveness: Arc<Liveness>) -> Self {
        Self { inner, limit, liveness, kind: Kind::Pool, has_given_up: AtomicBool::new(false) }
    }

    pub(crate) fn inner(&self) -> &C {
        &self.inner
    }

    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.refuse_what_cannot_be_kept()?;
        let answer = within(self.limit(), answer).await.unwrap_or_else(|silent| {
            self.has_given_up.store(true, Ordering::Relaxed);
            Err(silent)
        });
        if let Err(error) = &answer {
            self.liveness.notice(error);
            if let Kind::Transaction { has_failed } = &self.kind {
                has_failed.store(true, Ordering::Relaxed);
                self.liveness.doubt_after(error);
            }
        }
        answer
    }

    fn refuse_what_cannot_be_kept(&self) -> Result<(), DbErr> {
        if self.liveness.disk_failed().is_cancelled() {
            return Err(disk_failed());
        }
        match &self.kind {
            Kind::Transaction { has_failed } if has_failed.load(Ordering::Relaxed) => {
                Err(DbErr::Custom("a statement of this transaction has failed before".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl WithDeadline<DatabaseTransaction> {
    pub(crate) fn transaction(inner: DatabaseTransaction, limit: Option<Limit>, liveness: Arc<Liveness>) -> Self {
        let kind = Kind::Transaction { has_failed: AtomicBool::new(false) };
        Self { inner, limit, liveness, kind, has_given_up: AtomicBool::new(false) }
    }

    /// Commits; refuses to after an error, and rolls back then.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.refuse_what_cannot_be_kept()?;
        let Self { inner, limit, liveness, .. } = self;
        Self::end(inner.commit(), limit.as_ref(), &liveness).await
    }

    /// Rolls back and waits for that.
    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        let Self { inner, limit, liveness, has_given_up, .. } = self;
        // A connection that says nothing is dropped, and the transaction with it.
        if has_given_up.into_inner() {
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
            // The connection may be back in the pool by now. The depth alone keeps it from others there.
            liveness.doubt();
            liveness.notice(error);
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

/// Waits for an answer, but not for ever.
pub(crate) async fn within<T>(
    limit: Option<&Limit>,
    answer: impl Future<Output = Result<T, DbErr>>,
) -> Result<Result<T, DbErr>, DbErr> {
    let Some(limit) = limit else { return Ok(answer.await) };
    // Trust is lost before the future is dropped, which gives its connection back.
    let (mut answer, runs_at_once) = (pin!(answer), limit.runs_at_once());
    tokio::time::timeout(limit.patience, answer.as_mut()).await.map_err(|_| {
        limit.liveness.doubt();
        if runs_at_once {
            limit.liveness.lose();
        }
        no_answer()
    })
}

pub(crate) fn disk_failed() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("the disk did not keep what was written".to_owned()))
}

pub(crate) fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("no answer in time".to_owned()))
}
