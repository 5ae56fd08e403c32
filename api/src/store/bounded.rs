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
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, prelude::async_trait,
};
use sqlx::PgPool;

use super::trust::Trust;

/// Runs statements on whatever it holds, and gives up on one whose answer does not come.
pub struct Bounded<C> {
    inner: C,
    limit: Option<Limit>,
    has_given_up: AtomicBool,
}

/// For how long an answer is waited for, and who hears that it was given up.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) patience: Duration,
    pub(super) trust: Arc<Trust>,
    /// Where a statement that has no connection gets one.
    pub(super) pool: Option<PgPool>,
}

impl Limit {
    /// The same for statements that have a connection.
    pub(super) fn of_connection(&self) -> Self {
        Self { pool: None, ..self.clone() }
    }

    /// Whether a statement that begins now runs at once, so that only silence can take all the patience. One that finds
    /// no connection waiting must first wait for one or make one; nor is any left then that could be silent as well.
    fn runs_at_once(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.num_idle() > 0)
    }
}

impl<C> Bounded<C> {
    pub(super) fn new(inner: C, limit: Option<Limit>) -> Self {
        Self { inner, limit, has_given_up: AtomicBool::new(false) }
    }

    pub(super) fn inner(&self) -> &C {
        &self.inner
    }

    pub(super) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    /// Whether an answer has been given up.
    pub(super) fn has_given_up(&self) -> bool {
        self.has_given_up.load(Ordering::Relaxed)
    }

    pub(super) fn into_parts(self) -> (C, Option<Limit>) {
        (self.inner, self.limit)
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        within(self.limit(), answer).await.unwrap_or_else(|silent| {
            self.has_given_up.store(true, Ordering::Relaxed);
            Err(silent)
        })
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Bounded<C> {
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
pub(super) async fn within<T>(
    limit: Option<&Limit>,
    answer: impl Future<Output = Result<T, DbErr>>,
) -> Result<Result<T, DbErr>, DbErr> {
    let Some(limit) = limit else { return Ok(answer.await) };
    // Trust is lost before the future is dropped, which gives its connection back.
    let (mut answer, runs_at_once) = (pin!(answer), limit.runs_at_once());
    tokio::time::timeout(limit.patience, answer.as_mut()).await.map_err(|_| {
        if runs_at_once {
            limit.trust.lose();
        }
        no_answer()
    })
}

pub(super) fn no_answer() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal("no answer in time".to_owned()))
}
