//! Statements outside of transactions: on pinned connections with PostgreSQL, on the pool with SQLite.

use sea_orm::prelude::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::{AssertSqlSafe, Executor, Postgres, query::Query};
use tracing::{Instrument, Span, field::Empty};

use crate::store::connection::{deadline::WithDeadline, pinned::PinnedConnections};

/// An executor of single statements, each of which commits on its own.
pub struct Autocommit {
    pool: WithDeadline<DatabaseConnection>,
    pinned: Option<PinnedConnections>,
}

impl Autocommit {
    pub(crate) fn new(pool: WithDeadline<DatabaseConnection>, pinned: Option<PinnedConnections>) -> Self {
        Self { pool, pinned }
    }

    pub(crate) fn pool(&self) -> &WithDeadline<DatabaseConnection> {
        &self.pool
    }

    pub(crate) fn pinned(&self) -> Option<&PinnedConnections> {
        self.pinned.as_ref()
    }

    /// Returns the pinned connections if the statement reads or writes rows. Other statements run on the pool, because
    /// they might begin a transaction or change connection settings.
    fn pinned_for(&self, sql: &str) -> Option<&PinnedConnections> {
        let word = operation(sql);
        self.pinned.as_ref().filter(|_| ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&word))
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Autocommit {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Some(pinned) = self.pinned_for(&statement.sql) else { return self.pool.execute_raw(statement).await };
        let span = span(&statement.sql);
        let asking = pinned.run(statement, DbErr::Exec, |connection, statement| connection.execute(query(statement)));
        Ok(traced(span, asking).await?.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.pool.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(pinned) = self.pinned_for(&statement.sql) else { return self.pool.query_one_raw(statement).await };
        let span = span(&statement.sql);
        let asking =
            pinned.run(statement, DbErr::Query, |connection, statement| connection.fetch_optional(query(statement)));
        Ok(traced(span, asking).await?.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(pinned) = self.pinned_for(&statement.sql) else { return self.pool.query_all_raw(statement).await };
        let span = span(&statement.sql);
        let asking =
            pinned.run(statement, DbErr::Query, |connection, statement| connection.fetch_all(query(statement)));
        Ok(traced(span, asking).await?.into_iter().map(QueryResult::from).collect())
    }
}

/// Records the outcome of a statement, without its values.
async fn traced<T>(span: Span, asking: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
    let answer = asking.instrument(span.clone()).await;
    span.record("otel.status_code", if answer.is_ok() { "OK" } else { "ERROR" });
    answer
}

fn query(statement: Statement) -> Query<'static, Postgres, SqlxValues> {
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(statement.values.unwrap_or(Values(Vec::new()))))
}

/// Creates a span like the one that SeaORM creates for a statement on the pool.
fn span(sql: &str) -> Span {
    tracing::debug_span!(
        "store.statement",
        otel.kind = "client",
        db.system = "postgresql",
        db.operation = operation(sql),
        otel.status_code = Empty,
    )
}

fn operation(sql: &str) -> &str {
    sql.split_whitespace().next().unwrap_or_default()
}
