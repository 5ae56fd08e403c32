//! Keyset pagination: arguments, checked pages, and slices of lists.

/// Arguments of a connection (Relay Cursor Connections), unchecked.
#[derive(Debug, Clone, Default)]
pub struct PageArguments {
    /// Number of items from the start.
    pub first: Option<i32>,
    /// Only items after this cursor.
    pub after: Option<String>,
    /// Number of items from the end.
    pub last: Option<i32>,
    /// Only items before this cursor.
    pub before: Option<String>,
}

/// End of a list from which a page is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the start.
    Forward,
    /// From the end.
    Backward,
}

/// A page with checked arguments and opened cursors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page<K> {
    /// Maximum number of items.
    pub limit: u64,
    /// End from which items are counted.
    pub direction: Direction,
    /// Only keys after this one.
    pub after: Option<K>,
    /// Only keys before this one.
    pub before: Option<K>,
    /// Whether to fetch one extra row, to learn whether another page exists.
    pub fetch_extra: bool,
}

/// Items of a page in the order of the list, and whether the list continues on either side.
#[derive(Debug, Clone)]
pub struct Slice<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// Whether the list continues after the last item.
    pub has_next: bool,
    /// Whether the list continues before the first item.
    pub has_previous: bool,
}

impl<K> Page<K> {
    /// Returns the number of rows to read.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.limit.saturating_add(self.fetch_extra.into())
    }

    /// Cuts rows, read in the page's direction, to the page. The page ends early where their weight exceeds `max_weight`,
    /// and has at least one row.
    #[must_use]
    pub fn slice_within<T>(&self, mut rows: Vec<T>, weight: impl Fn(&T) -> usize, max_weight: usize) -> Slice<T> {
        let weights = rows.iter().scan(0_usize, |total, row| {
            *total = total.saturating_add(weight(row));
            Some(*total)
        });
        let fitting = weights.take_while(|total| *total <= max_weight).count().max(1);
        let is_cut = fitting < rows.len();
        rows.truncate(fitting);
        let slice = self.slice(rows);
        match self.direction {
            Direction::Forward => Slice { has_next: slice.has_next || is_cut, ..slice },
            Direction::Backward => Slice { has_previous: slice.has_previous || is_cut, ..slice },
        }
    }

    /// Cuts rows to the page. They must be in the direction of the page.
    #[must_use]
    pub fn slice<T>(&self, mut rows: Vec<T>) -> Slice<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        match self.direction {
            Direction::Forward => Slice { items: rows, has_next: has_more, has_previous: self.after.is_some() },
            Direction::Backward => {
                rows.reverse();
                Slice { items: rows, has_next: self.before.is_some(), has_previous: has_more }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_early_at_its_weight_and_says_so() {
        let page = |direction, limit| Page { limit, direction, after: None::<i64>, before: None, fetch_extra: true };
        for (limit, rows, items, has_more) in [
            (3, vec![4, 4, 2], vec![4, 4, 2], false),
            (3, vec![4, 4, 3], vec![4, 4], true),
            (2, vec![4, 4, 2], vec![4, 4], true),
            (3, vec![11, 1], vec![11], true),
            (3, vec![11], vec![11], false),
            (3, vec![], vec![], false),
        ] {
            let forward = page(Direction::Forward, limit).slice_within(rows.clone(), |row| *row, 10);
            assert_eq!((&forward.items, forward.has_next, forward.has_previous), (&items, has_more, false));
            let mut backward = page(Direction::Backward, limit).slice_within(rows, |row| *row, 10);
            backward.items.reverse();
            assert_eq!((backward.items, backward.has_next, backward.has_previous), (items, false, has_more));
        }
    }
}
