//! JSON text of objects, with the places of what fails in it.

use std::fmt::{Display, Write as _};

use async_graphql::{PathSegment, Pos, QueryPathNode, QueryPathSegment, ServerError, resolver_utils::EnumType};
use serde::Serialize;

use crate::engine::{Context, FieldError, object::loaded::Key, object::selected::SelectedField};

/// Room for each value that was loaded, of which most are objects of some hundred bytes.
const ROOM: usize = 512;

/// The JSON of an object, with the errors of what is null in it.
pub(super) type Written = (Vec<u8>, Vec<ServerError>);

/// Whether a value was written; the error makes the nearest nullable place around it null.
pub type Outcome = Result<(), Box<ServerError>>;

/// Writes one object and all below it.
pub struct Writer<'a, C: Context> {
    /// The operation that the object is shown in.
    pub context: &'a C,
    pub(super) out: Vec<u8>,
    loaded: &'a C::Loaded,
    missing: C::Missing,
    /// Something is lacking: what is written from here on serves to find out what else is.
    pub(super) is_incomplete: bool,
    above: Option<&'a QueryPathNode<'a>>,
    pub(super) path: Vec<QueryPathSegment<'a>>,
    pub(super) errors: Vec<ServerError>,
}

impl<'a, C: Context> Writer<'a, C> {
    pub(super) fn new(context: &'a C, loaded: &'a C::Loaded, above: Option<&'a QueryPathNode<'a>>) -> Self {
        let (out, missing) = (Vec::with_capacity(ROOM * (1 + C::loaded_count(loaded))), C::Missing::default());
        Self { context, out, loaded, missing, is_incomplete: false, above, path: Vec::new(), errors: Vec::new() }
    }

    /// The JSON with the errors of what is null in it, or what must be loaded first.
    pub(super) fn finish(self) -> Result<Written, Box<C::Missing>> {
        if self.is_incomplete { Err(Box::new(self.missing)) } else { Ok((self.out, self.errors)) }
    }

    /// A list, item by item.
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

    /// Returns the loaded value of a key. Notes the key if it was not loaded yet.
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

    /// Adds the path to an error that has none.
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
            // A vector of bytes takes all that is written to it.
            let _ = write!(Bytes(&mut self.out), "{text}");
            self.out.push(b'"');
        }
    }

    /// Writes text that needs no escapes, from `length` bytes on which `write` fills in.
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

    /// Whether something is missing, so that what is written now is not used.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// A value of an enumeration by its name in the schema.
    pub fn choice<E: EnumType>(&mut self, choice: E) {
        let item = E::items().iter().find(|item| item.value == choice);
        self.or_null(item, |writer, item| writer.plain(item.name));
    }

    /// Whatever has a JSON form.
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

/// Bytes that take text.
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
