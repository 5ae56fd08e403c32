//! Pages of lists: checked arguments, and cursors sealed for one user and one list.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

use crate::domain::{ConversationId, Direction, MetricKey, Page, PageArguments, Slice};
use crate::service::{Error, RequestContext};

/// Number of earlier epochs whose cursors are still distinguished from forged ones.
const REMEMBERED_EPOCHS: usize = 16;

/// A page of a list with its cursors.
#[derive(Debug, Clone)]
pub struct Connection<T> {
    /// The items, in the list's order.
    pub edges: Vec<Edge<T>>,
    /// Whether the list has items after this page.
    pub has_next: bool,
    /// Whether the list has items before this page.
    pub has_previous: bool,
}

/// An item of a list with its cursor.
#[derive(Debug, Clone)]
pub struct Edge<T> {
    /// Position of the item.
    pub cursor: Cursor,
    /// The item.
    pub node: T,
}

/// A position in a list. Formatted and sealed only when a client requests it.
#[derive(Debug, Clone)]
pub struct Cursor {
    list: List,
    key: Key,
}

/// List that a cursor belongs to.
#[derive(Debug, Clone)]
pub(crate) enum List {
    /// A list known by its name.
    Named(Arc<str>),
    /// A conversation's messages.
    Messages(ConversationId),
}

/// Position within a list.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    Number(i64),
    Id(Uuid),
    Text(Arc<str>),
}

impl<T> Connection<T> {
    /// Creates a page of a list. `key` returns the position of an item.
    pub(crate) fn of<K: Into<Key>>(list: impl Into<List>, slice: Slice<T>, key: impl Fn(&T) -> K) -> Self {
        let list = list.into();
        let edge = |node| Edge { cursor: Cursor { list: list.clone(), key: key(&node).into() }, node };
        let edges = slice.items.into_iter().map(edge).collect();
        Self { edges, has_next: slice.has_next, has_previous: slice.has_previous }
    }

    /// Converts the items of the page and keeps their cursors.
    #[must_use]
    pub fn map<U>(self, item: impl Fn(T) -> U) -> Connection<U> {
        let edges = self.edges.into_iter().map(|Edge { cursor, node }| Edge { cursor, node: item(node) }).collect();
        Connection { edges, has_next: self.has_next, has_previous: self.has_previous }
    }
}

/// Implements conversions into variants.
macro_rules! conversions {
    ($($from:ty => $into:ident, |$value:ident| $variant:expr;)+) => {
        $(impl From<$from> for $into {
            fn from($value: $from) -> Self {
                $variant
            }
        })+
    };
}

conversions! {
    &str => List, |name| Self::Named(name.into());
    ConversationId => List, |id| Self::Messages(id);
    i64 => Key, |number| Self::Number(number);
    Arc<str> => Key, |text| Self::Text(text);
    MetricKey => Key, |key| Self::Text(key.to_string().into());
    Uuid => Key, |id| Self::Id(id);
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Messages(id) => write!(f, "messages {id}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl RequestContext {
    /// Returns the text of a cursor. It is opaque, and valid for the caller only.
    #[must_use]
    pub fn seal(&self, cursor: &Cursor) -> String {
        self.seal_cursor(&cursor.list.to_string(), &cursor.key)
    }

    /// Parses and checks the page arguments for a list.
    pub(crate) fn page<K: FromStr>(&self, list: impl Into<List>, arguments: &PageArguments) -> Result<Page<K>, Error> {
        let list = list.into();
        let (direction, limit) = match (arguments.first, arguments.last) {
            (Some(_), Some(_)) => return Err(Error::invalid("last", "must not be combined with `first`")),
            (_, Some(count)) => (Direction::Backward, self.limit("last", count)?),
            (Some(count), None) => (Direction::Forward, self.limit("first", count)?),
            (None, None) => (Direction::Forward, self.backend.config.graphql.default_page_size),
        };
        let open = |field: &str, cursor: &Option<String>| match cursor {
            None => Ok(None),
            Some(cursor) => self.open_cursor(&list.to_string(), field, cursor).map(Some),
        };
        let limit = limit as u64;
        Ok(Page {
            limit,
            direction,
            after: open("after", &arguments.after)?,
            before: open("before", &arguments.before)?,
            fetch_extra: true,
        })
    }

    pub(crate) fn seal_cursor(&self, list: &str, key: &impl ToString) -> String {
        self.backend.seal.seal(&self.scope(self.backend.epoch, list), key.to_string().as_bytes())
    }

    pub(crate) fn open_cursor<K: FromStr>(&self, list: &str, field: &str, cursor: &str) -> Result<K, Error> {
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

    /// Checks the requested number of items.
    pub(crate) fn limit(&self, field: &str, asked: i32) -> Result<usize, Error> {
        let max = self.backend.config.graphql.max_page_size;
        match usize::try_from(asked) {
            Ok(asked) if (1..=max).contains(&asked) => Ok(asked),
            _ => Err(Error::invalid(field, format!("must be between 1 and {max}, but is {asked}"))),
        }
    }

    /// Returns the scope of a cursor: valid for one user, in one list, until the database is restored.
    fn scope(&self, epoch: i32, list: &str) -> Vec<u8> {
        let user = self.caller().map(|viewer| viewer.user_id.0).unwrap_or_default();
        [&epoch.to_be_bytes()[..], user.as_bytes(), list.as_bytes()].concat()
    }
}
