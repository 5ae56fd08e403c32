//! Pages: arguments checked once for every list, cursors sealed for one user and one list.

use std::str::FromStr;

use super::{Error, Operation};
use crate::domain::{Direction, Page, PageArguments, Slice};

/// Restores of the database whose older cursors are still told from forged ones.
const REMEMBERED_EPOCHS: usize = 16;

/// A page of a list with its cursors.
#[derive(Debug, Clone)]
pub struct Connection<T> {
    /// Each item behind its cursor.
    pub edges: Vec<(String, T)>,
    /// Whether the list goes on behind.
    pub has_next: bool,
    /// Whether the list goes on before.
    pub has_previous: bool,
}

impl Operation {
    /// Checks a page's arguments against the list they are for.
    pub(super) fn page<K: FromStr>(&self, list: &str, arguments: &PageArguments) -> Result<Page<K>, Error> {
        let (direction, limit) = match (arguments.first, arguments.last) {
            (Some(_), Some(_)) => return Err(Error::invalid("last", "cannot be asked for together with `first`")),
            (_, Some(count)) => (Direction::Backward, self.limit("last", count)?),
            (Some(count), None) => (Direction::Forward, self.limit("first", count)?),
            (None, None) => (Direction::Forward, self.backend.config.graphql.default_page_size),
        };
        let open = |field: &str, cursor: &Option<String>| match cursor {
            None => Ok(None),
            Some(cursor) => self.open_cursor(list, field, cursor).map(Some),
        };
        let limit = limit as u64;
        Ok(Page {
            limit,
            direction,
            after: open("after", &arguments.after)?,
            before: open("before", &arguments.before)?,
        })
    }

    /// A page's items with their cursors.
    pub(super) fn connection<T, K: ToString>(
        &self,
        list: &str,
        slice: Slice<T>,
        key: impl Fn(&T) -> K,
    ) -> Connection<T> {
        let edges = slice.items.into_iter().map(|item| (self.seal_cursor(list, &key(&item)), item)).collect();
        Connection { edges, has_next: slice.has_next, has_previous: slice.has_previous }
    }

    pub(super) fn seal_cursor(&self, list: &str, key: &impl ToString) -> String {
        self.backend.seal.seal(&self.scope(self.backend.epoch, list), key.to_string().as_bytes())
    }

    pub(super) fn open_cursor<K: FromStr>(&self, list: &str, field: &str, cursor: &str) -> Result<K, Error> {
        let epoch = self.backend.epoch;
        let open = |epoch| self.backend.seal.open(&self.scope(epoch, list), cursor);
        let key = open(epoch).and_then(|key| String::from_utf8(key).ok()?.parse().ok());
        key.ok_or_else(|| {
            if (1..epoch).rev().take(REMEMBERED_EPOCHS).any(|epoch| open(epoch).is_some()) {
                Error::CursorExpired
            } else {
                Error::invalid(field, "is not a cursor of this list")
            }
        })
    }

    /// Checks how many items are asked for.
    pub(super) fn limit(&self, field: &str, asked: i32) -> Result<usize, Error> {
        let max = self.backend.config.graphql.max_page_size;
        match usize::try_from(asked) {
            Ok(asked) if (1..=max).contains(&asked) => Ok(asked),
            _ => Err(Error::invalid(field, format!("must be between 1 and {max}, and is {asked}"))),
        }
    }

    /// A cursor means something to one user in one list only, until the database is restored.
    fn scope(&self, epoch: i32, list: &str) -> Vec<u8> {
        let user = self.caller().map(|viewer| viewer.user_id.0).unwrap_or_default();
        [&epoch.to_be_bytes()[..], user.as_bytes(), list.as_bytes()].concat()
    }
}
