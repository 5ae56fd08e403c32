//! Reads columns by position instead of by name (docs/performance.md, "What profiles found").

use std::sync::Arc;

use sea_orm::{DbErr, QueryResult, RuntimeErr, TryGetable};
use sqlx::{Decode, Postgres, Row};

/// Returns the value of the column at a position. The schema fixes the type, so the PostgreSQL driver's type check is
/// skipped.
pub(super) fn at<T>(row: &QueryResult, place: usize) -> Result<T, DbErr>
where
    T: TryGetable + for<'r> Decode<'r, Postgres>,
{
    let Some(row) = row.try_as_pg_row() else { return row.try_get_by_index(place) };
    row.try_get_unchecked(place).map_err(|error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))
}
