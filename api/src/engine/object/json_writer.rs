//! JSON as it is written, with the places of what fails in it.

use std::fmt::{Display, Write as _};

use async_graphql::{PathSegment, Pos, QueryPathNode, QueryPathSegment, ServerError, resolver_utils::EnumType};
use base64::Engine;
use serde::Serialize;

use crate::{
    domain::{Rfc3339, Timestamp},
    engine::object::{
        JsonObject, Write,
        loaded::{Key, Loaded, Missing},
        selection::{SelectedField, SelectedFields},
    },
    graphql::{error::Error, request_scope::Scope, scalars::BASE64},
    service::{self, Cursor},
};

/// Room for each value that was loaded, of which most are objects of some hundred bytes.
const ROOM: usize = 512;

/// Whether a value was written; the error makes the nearest nullable place around it null.
pub(crate) type Outcome = Result<(), Box<ServerError>>;

/// Writes one object and all below it.
pub(crate) struct Writer<'a> {
    /// The operation that the object is shown in.
    pub(crate) scope: &'a Scope,
    out: Vec<u8>,
    loaded: &'a Loaded,
    missing: Missing,
    /// Something is lacking: what is written from here on serves to find out what else is.
    is_incomplete: bool,
    above: Option<&'a QueryPathNode<'a>>,
    path: Vec<QueryPathSegment<'a>>,
    errors: Vec<ServerError>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(scope: &'a Scope, loaded: &'a Loaded, above: Option<&'a QueryPathNode<'a>>) -> Self {
        let (out, missing) = (Vec::with_capacity(ROOM * (1 + loaded.len())), Missing::default());
        Self { scope, out, loaded, missing, is_incomplete: false, above, path: Vec::new(), errors: Vec::new() }
    }

    /// The JSON with the errors of what is null in it, or what must be loaded first.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, Vec<ServerError>), Box<Missing>> {
        if self.is_incomplete { Err(Box::new(self.missing)) } else { Ok((self.out, self.errors)) }
    }

    /// An object, as far as it is asked for.
    pub(crate) fn object<T: JsonObject>(&mut self, value: &T, plan: &SelectedFields<'a>) -> Outcome {
        self.out.push(b'{');
        for (index, entry) in plan.0.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            // A name of GraphQL needs no escapes.
            self.out.push(b'"');
            self.out.extend_from_slice(entry.key().as_bytes());
            self.out.extend_from_slice(b"\":");
            self.path.push(QueryPathSegment::Name(entry.key()));
            self.field(value, entry)?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The value of one field.
    pub(crate) fn field<T: JsonObject>(&mut self, value: &T, entry: &SelectedField<'a>) -> Outcome {
        let Some(field) = entry.place.map(|place| &T::FIELDS[place]) else {
            self.plain(T::NAME);
            return Ok(());
        };
        let (end, depth) = (self.out.len(), self.path.len());
        match field.write {
            Write::Leaf(write) => write(value, self),
            Write::Loading(write) => match write(value, entry, self) {
                Err(error) if field.is_nullable => {
                    self.errors.push(*error);
                    self.out.truncate(end);
                    self.path.truncate(depth);
                    self.null();
                }
                other => return other,
            },
        }
        Ok(())
    }

    /// A list, item by item.
    pub(crate) fn list<'i, T: 'i>(
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

    /// The object that a key names, in a field that is never null.
    pub(crate) fn linked<K: Key<Value: JsonObject>>(&mut self, key: &K, entry: &SelectedField<'a>) -> Outcome {
        self.with(key, entry, |writer, value| writer.object(value, &entry.below))
    }

    /// The same in a field that is null without it.
    pub(crate) fn linked_or_null<K: Key<Value: JsonObject>>(
        &mut self,
        key: Option<&K>,
        entry: &SelectedField<'a>,
    ) -> Outcome {
        let value = key.map_or(Ok(None), |key| self.find(key, entry.asked.pos))?;
        self.object_or_null(value, entry)
    }

    /// An object in a field that is null without it.
    pub(crate) fn object_or_null<T: JsonObject>(&mut self, value: Option<&T>, entry: &SelectedField<'a>) -> Outcome {
        if let Some(value) = value {
            return self.object(value, &entry.below);
        }
        self.null();
        Ok(())
    }

    /// The value that a key names, in a field that is never null.
    pub(crate) fn with<K: Key>(
        &mut self,
        key: &K,
        entry: &SelectedField<'a>,
        write: impl FnOnce(&mut Self, &'a K::Value) -> Outcome,
    ) -> Outcome {
        match self.find(key, entry.asked.pos)? {
            Some(value) => write(self, value),
            None if self.is_incomplete => Ok(()),
            None => Err(self.fail(service::Error::NotFound(K::WHAT), entry).into()),
        }
    }

    /// What is loaded under a key. Where nothing has been looked for yet, that is noted, and nothing is there.
    fn find<K: Key>(&mut self, key: &K, pos: Pos) -> Result<Option<&'a K::Value>, ServerError> {
        let loaded = self.loaded;
        match K::shelf(loaded).get(key) {
            Some(Ok(value)) => Ok(value.as_ref()),
            Some(Err(error)) => Err(self.located(async_graphql::Error::from(error.clone()).into_server_error(pos))),
            None => {
                K::list(&mut self.missing).insert(key.clone());
                self.is_incomplete = true;
                Ok(None)
            }
        }
    }

    /// The error of a field.
    pub(crate) fn fail(&self, error: service::Error, entry: &SelectedField<'a>) -> ServerError {
        let error = async_graphql::Error::from(Error::from(error));
        self.located(error.into_server_error(entry.asked.pos))
    }

    /// The same, of an error that lacks its path only.
    pub(crate) fn located(&self, error: ServerError) -> ServerError {
        let above = std::iter::successors(self.above, |node| node.parent);
        let mut path: Vec<_> = above.map(|node| segment(&node.segment)).collect();
        path.reverse();
        path.extend(self.path.iter().map(segment));
        ServerError { path, ..error }
    }

    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// A value that may be absent.
    pub(crate) fn or_null<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.json(text);
    }

    /// Text that needs no escapes, such as an id.
    pub(crate) fn plain(&mut self, text: impl Display) {
        if !self.is_incomplete {
            self.out.push(b'"');
            // A vector of bytes takes all that is written to it.
            let _ = write!(Bytes(&mut self.out), "{text}");
            self.out.push(b'"');
        }
    }

    pub(crate) fn cursor(&mut self, cursor: &Cursor) {
        if !self.is_incomplete {
            self.plain(self.scope.context.seal(cursor));
        }
    }

    pub(crate) fn time(&mut self, time: Timestamp) {
        self.plain(Rfc3339::exact(time));
    }

    /// Bytes in base 64 with padding.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.is_incomplete {
            return;
        }
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        // Four characters for each three bytes begun is what padded base 64 takes.
        let _ = BASE64.encode_slice(bytes, &mut self.out[start..]);
        self.out.push(b'"');
    }

    /// A value of an enumeration by its name in the schema.
    pub(crate) fn choice<E: EnumType>(&mut self, choice: E) {
        let item = E::items().iter().find(|item| item.value == choice);
        self.or_null(item, |writer, item| writer.plain(item.name));
    }

    /// Whatever has a JSON form.
    pub(crate) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
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
