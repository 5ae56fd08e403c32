//! Writes objects as JSON text, and collects the errors of failed fields.

use std::fmt::{Display, Write as _};

use async_graphql::{PathSegment, Pos, QueryPathNode, QueryPathSegment, ServerError, resolver_utils::EnumType};
use serde::Serialize;

use crate::budget::Exceeded;
use crate::engine::{Context, FieldError, object::loaded::Key, object::selected::SelectedField};

/// Initial capacity for the object and for each loaded value, in bytes.
const ROOM: usize = 512;

/// Bytes of an object between two additions to the operation's memory.
const GRANT: usize = 16 * 1024;

/// JSON of an object, with the errors of its failed fields.
pub(super) type Written = (Vec<u8>, Vec<ServerError>);

/// Outcome of writing a value. An error sets the nearest nullable field around the value to null.
pub type Outcome = Result<(), Box<ServerError>>;

/// Writer of one object and all objects below.
pub struct Writer<'a, C: Context> {
    /// The context that the object belongs to.
    pub context: &'a C,
    pub(super) out: Vec<u8>,
    /// Bytes that already count in the operation's memory.
    granted: usize,
    loaded: &'a C::Loaded,
    missing: C::Missing,
    /// Whether a value is missing. Writing then continues only to find other missing values.
    pub(super) is_incomplete: bool,
    above: Option<&'a QueryPathNode<'a>>,
    pub(super) path: Vec<QueryPathSegment<'a>>,
    pub(super) errors: Vec<ServerError>,
}

impl<'a, C: Context> Writer<'a, C> {
    pub(super) fn new(context: &'a C, loaded: &'a C::Loaded, above: Option<&'a QueryPathNode<'a>>) -> Self {
        let (out, missing) = (Vec::with_capacity(ROOM * (1 + C::loaded_count(loaded))), C::Missing::default());
        Self {
            context,
            out,
            granted: 0,
            loaded,
            missing,
            is_incomplete: false,
            above,
            path: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Returns the JSON and the errors, or the missing keys that must be loaded first.
    pub(super) fn finish(self) -> Result<Written, Box<C::Missing>> {
        let (memory, written) = (self.context.memory(), if self.is_incomplete { 0 } else { self.out.len() });
        if written > self.granted {
            // The memory keeps the failure, which replaces the answer.
            let _ = memory.write(written - self.granted);
        } else {
            memory.unwrite(self.granted - written);
        }
        if self.is_incomplete { Err(Box::new(self.missing)) } else { Ok((self.out, self.errors)) }
    }

    /// Counts the object's new bytes in the operation's memory once they are many.
    pub(super) fn extend(&mut self) -> Result<(), Exceeded> {
        if self.out.len() < self.granted + GRANT {
            return Ok(());
        }
        let more = self.out.len() - self.granted;
        self.granted += more;
        self.context.memory().write(more)
    }

    /// Writes a list, item by item.
    pub fn list<'i, T: 'i>(
        &mut self,
        items: impl IntoIterator<Item = &'i T>,
        mut write: impl FnMut(&mut Self, &'i T) -> Outcome,
    ) -> Outcome {
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(QueryPathSegment::Index(index));
            write(self, item)?;
            self.path.pop();
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes the value of a key, in a field that is never null.
    pub fn with<K: Key<C>>(
        &mut self,
        key: &K,
        entry: &SelectedField<'a>,
        write: impl FnOnce(&mut Self, &'a K::Value) -> Outcome,
    ) -> Outcome {
        match self.find(key, entry.asked.pos)? {
            Some(value) => write(self, value),
            None if self.is_incomplete => Ok(()),
            None => Err(self.fail(K::not_found(), entry).into()),
        }
    }

    /// Returns the loaded value of a key. Records the key as missing if it was not loaded yet.
    pub(super) fn find<K: Key<C>>(&mut self, key: &K, pos: Pos) -> Result<Option<&'a K::Value>, ServerError> {
        let loaded = self.loaded;
        match K::loaded(loaded).get(key) {
            Some(Ok(value)) => Ok(value.as_ref()),
            Some(Err(error)) => Err(self.located(error.at(vec![pos]))),
            None => {
                K::missing(&mut self.missing).insert(key.clone());
                self.is_incomplete = true;
                Ok(None)
            }
        }
    }

    /// Returns the error of a field, with its path.
    pub fn fail(&self, error: impl Into<FieldError>, entry: &SelectedField<'a>) -> ServerError {
        self.located(error.into().at(vec![entry.asked.pos]))
    }

    /// Sets the path of an error to the current field.
    pub fn located(&self, error: ServerError) -> ServerError {
        let above = std::iter::successors(self.above, |node| node.parent);
        let mut path: Vec<_> = above.map(|node| segment(&node.segment)).collect();
        path.reverse();
        path.extend(self.path.iter().map(segment));
        ServerError { path, ..error }
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// Writes a value, or `null` if there is none.
    pub fn or_null<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// Writes text, with escapes.
    pub fn text(&mut self, text: &str) {
        self.json(text);
    }

    /// Writes text that needs no escapes, such as an id.
    pub fn plain(&mut self, text: impl Display) {
        if !self.is_incomplete {
            self.out.push(b'"');
            // Writing to a vector cannot fail.
            let _ = write!(Bytes(&mut self.out), "{text}");
            self.out.push(b'"');
        }
    }

    /// Writes `length` bytes of text that needs no escapes. `write` fills them in.
    pub fn plain_bytes(&mut self, length: usize, write: impl FnOnce(&mut [u8])) {
        if self.is_incomplete {
            return;
        }
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + length, 0);
        write(&mut self.out[start..]);
        self.out.push(b'"');
    }

    /// Whether a value is missing, so that the JSON is discarded.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Writes a value of an enumeration by its name in the schema.
    pub fn choice<E: EnumType>(&mut self, choice: E) {
        let item = E::items().iter().find(|item| item.value == choice);
        self.or_null(item, |writer, item| writer.plain(item.name));
    }

    /// Writes any value as JSON, or `null` if serialization fails.
    pub fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        if !self.is_incomplete {
            let start = self.out.len();
            if serde_json::to_writer(&mut self.out, value).is_err() {
                self.out.truncate(start);
                self.null();
            }
        }
    }
}

/// Adapter that writes text to a vector of bytes.
struct Bytes<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn segment(segment: &QueryPathSegment<'_>) -> PathSegment {
    match segment {
        QueryPathSegment::Name(name) => PathSegment::Field((*name).to_owned()),
        QueryPathSegment::Index(index) => PathSegment::Index(*index),
    }
}
