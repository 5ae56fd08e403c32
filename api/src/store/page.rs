//! Keyset pagination over an indexed column.

use sea_orm::{ColumnTrait, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Value};

use crate::domain::{Direction, Page};

/// Restricts a select to one page of a list ordered by `column`. With `fetch_extra`, selects one more row to learn
/// whether another page exists.
pub(super) fn paged<S, K>(select: S, column: impl ColumnTrait, order: &Order, page: &Page<K>) -> S
where
    S: QueryFilter + QueryOrder + QuerySelect + QueryTrait,
    K: Clone + Into<Value>,
{
    let is_ascending = matches!(order, Order::Asc);
    let behind = |key: K| if is_ascending { column.gt(key) } else { column.lt(key) };
    let ahead = |key: K| if is_ascending { column.lt(key) } else { column.gt(key) };
    let read = if is_ascending == (page.direction == Direction::Forward) { Order::Asc } else { Order::Desc };
    select
        .apply_if(page.after.clone(), |select, key| select.filter(behind(key)))
        .apply_if(page.before.clone(), |select, key| select.filter(ahead(key)))
        .order_by(column, read)
        .limit(page.rows())
}

/// Returns the sort order, key bounds and row limit for a page of a list with descending keys.
///
/// A missing bound becomes a key that no row has. So there are only two statement texts to prepare, one per sort order.
pub(super) fn descending(page: &Page<i64>) -> (&'static str, [Value; 3]) {
    let order = if page.direction == Direction::Forward { "DESC" } else { "ASC" };
    let (below, above) = (page.after.unwrap_or(i64::MAX), page.before.unwrap_or(i64::MIN));
    let limit = i64::try_from(page.rows()).unwrap_or(i64::MAX);
    (order, [below.into(), above.into(), limit.into()])
}
