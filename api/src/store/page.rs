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
        .limit(page.limit + 1)
}
