//! Columns by their places: what a page of many rows is read by.

use std::sync::Arc;

use sea_orm::{DbErr, QueryResult, RuntimeErr, TryGetable};
use sqlx::{Decode, Postgres, Row};

/// What stands at a place. Its type is the schema's, so the driver is not asked to compare the two for every value.
pub(super) fn at<T>(row: &QueryResult, place: usize) -> Result<T, DbErr>
where
    T: TryGetable + for<'r> Decode<'r, Postgres>,
{
    let Some(row) = row.try_as_pg_row() else { return row.try_get_by_index(place) };
    row.try_get_unchecked(place).map_err(|error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))
}
