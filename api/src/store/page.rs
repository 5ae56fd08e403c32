//! Keyset pages over an indexed column.

use sea_orm::{ColumnTrait, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Value};

use crate::domain::{Direction, Page};

/// Restricts a selection to a page of a list that is ordered by `column`, and one row more that tells of more.
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

/// The order in which a page is read of a list whose keys descend, the keys between which it lies, and its length with
/// one row more. Without a bound the key is one that no row has, so that few texts of statements are made and prepared.
pub(super) fn descending(page: &Page<i64>) -> (&'static str, [Value; 3]) {
    let order = if page.direction == Direction::Forward { "DESC" } else { "ASC" };
    let (below, above) = (page.after.unwrap_or(i64::MAX), page.before.unwrap_or(i64::MIN));
    let limit = i64::try_from(page.rows()).unwrap_or(i64::MAX);
    (order, [below.into(), above.into(), limit.into()])
}
