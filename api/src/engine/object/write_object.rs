//! Writes objects field by field.

use async_graphql::QueryPathSegment;

use crate::engine::Context;
use crate::engine::object::field::{JsonObject, Write};
use crate::engine::object::json_writer::{Outcome, Writer};
use crate::engine::object::loaded::Key;
use crate::engine::object::selected::{SelectedField, SelectedFields};

impl<'a, C: Context> Writer<'a, C> {
    /// Writes the selected fields of an object.
    pub(crate) fn object<T: JsonObject<Context = C>>(&mut self, value: &T, fields: &SelectedFields<'a>) -> Outcome {
        self.out.push(b'{');
        for (index, selected) in fields.0.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            // A GraphQL name needs no escapes.
            self.out.push(b'"');
            self.out.extend_from_slice(selected.key().as_bytes());
            self.out.extend_from_slice(b"\":");
            self.path.push(QueryPathSegment::Name(selected.key()));
            self.field(value, selected)?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes the value of one field.
    pub(crate) fn field<T: JsonObject<Context = C>>(&mut self, value: &T, selected: &SelectedField<'a>) -> Outcome {
        let Some(field) = selected.index.map(|index| &T::FIELDS[index]) else {
            self.plain(T::NAME);
            return Ok(());
        };
        if let Err(exceeded) = self.extend() {
            return Err(self.fail(self.context.out_of_memory(exceeded), selected).into());
        }
        let (end, depth) = (self.out.len(), self.path.len());
        match field.write {
            Write::Leaf(write) => write(value, self),
            Write::Loading(write) => match write(value, selected, self) {
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

    /// Writes the object of a key, in a field that is never null.
    pub(crate) fn linked<K: Key<C, Value: JsonObject<Context = C>>>(
        &mut self,
        key: &K,
        selected: &SelectedField<'a>,
    ) -> Outcome {
        self.with(key, selected, |writer, value| writer.object(value, &selected.below))
    }

    /// Writes the object of a key, or null.
    pub(crate) fn linked_or_null<K: Key<C, Value: JsonObject<Context = C>>>(
        &mut self,
        key: Option<&K>,
        selected: &SelectedField<'a>,
    ) -> Outcome {
        let value = key.map_or(Ok(None), |key| self.find(key, selected.asked.pos))?;
        self.object_or_null(value, selected)
    }

    /// Writes an object, or null.
    pub(crate) fn object_or_null<T: JsonObject<Context = C>>(
        &mut self,
        value: Option<&T>,
        selected: &SelectedField<'a>,
    ) -> Outcome {
        if let Some(value) = value {
            return self.object(value, &selected.below);
        }
        self.null();
        Ok(())
    }
}
