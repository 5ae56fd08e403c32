//! Tables of fields, which describe the fields of a type for the schema and write their values.

use std::sync::OnceLock;

use async_graphql::{ContextSelectionSet, OutputType, parser::types::SelectionSet, registry::Registry};
use bytes::Bytes;

use crate::engine::Context;
use crate::engine::object::json_writer::{Outcome, Writer};
use crate::engine::object::selected::{SelectedField, SelectedFields};

/// Object type that is written as JSON text.
pub trait JsonObject: Sized + Send + Sync + 'static {
    /// The context that loads missing values.
    type Context: Context;
    /// The name in the schema.
    const NAME: &'static str;
    /// The description in the schema.
    const DESCRIPTION: &'static str;
    /// The fields, in the order of the schema.
    const FIELDS: &'static [Field<Self>];

    /// Returns the cache of this value's JSON, which all its readers share. `None` if the JSON of the selection may
    /// differ between readers.
    fn cached_json(&self, _: &SelectedFields<'_>) -> Option<&CachedJson> {
        None
    }
}

/// JSON of a value, with a description of its selection.
pub type CachedJson = OnceLock<(String, Bytes)>;

/// A field of `T`.
pub struct Field<T: JsonObject> {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) describe_type: fn(&mut Registry) -> String,
    /// Descriptions of a list's arguments `first`, `after`, `last` and `before`.
    pub(super) page: Option<[&'static str; 4]>,
    pub(super) select_below: Option<Select>,
    pub(super) is_nullable: bool,
    pub(super) is_constant: bool,
    pub(super) write: Write<T>,
}

/// Function that returns the fields of one type that selection sets select.
pub type Select = for<'a> fn(&ContextSelectionSet<'a>, &[&'a SelectionSet]) -> SelectedFields<'a>;

/// Function that writes a value from the object alone.
type WriteLeaf<T> = fn(&T, &mut Writer<'_, <T as JsonObject>::Context>);

/// Function that writes an object, or a value that may have to be loaded.
type WriteLoading<T> = for<'a> fn(&T, &SelectedField<'a>, &mut Writer<'a, <T as JsonObject>::Context>) -> Outcome;

pub(super) enum Write<T: JsonObject> {
    Leaf(WriteLeaf<T>),
    Loading(WriteLoading<T>),
}

/// Output type with a selection: an object, a nullable object, or a list of objects.
pub trait Composite: OutputType {
    /// Function that returns the selected fields of the objects.
    const SELECT: Select;
    /// Whether the value may be null.
    const IS_NULLABLE: bool = false;
}

/// Declares a field of the output type `O` that has no selection.
pub const fn leaf<T: JsonObject, O: OutputType>(
    name: &'static str,
    description: &'static str,
    write: WriteLeaf<T>,
) -> Field<T> {
    Field::new::<O>(name, description, Write::Leaf(write))
}

/// Declares a field of the output type `O` that has no selection, is loaded, and is never null.
pub const fn lookup<T: JsonObject, O: OutputType>(
    name: &'static str,
    description: &'static str,
    write: WriteLoading<T>,
) -> Field<T> {
    Field::new::<O>(name, description, Write::Loading(write))
}

/// Declares a field of the output type `O` that has a selection.
pub const fn object<T: JsonObject, O: Composite>(
    name: &'static str,
    description: &'static str,
    write: WriteLoading<T>,
) -> Field<T> {
    let select_below = Some(O::SELECT);
    Field { select_below, is_nullable: O::IS_NULLABLE, ..Field::new::<O>(name, description, Write::Loading(write)) }
}

impl<T: JsonObject> Field<T> {
    const fn new<O: OutputType>(name: &'static str, description: &'static str, write: Write<T>) -> Self {
        let (page, select_below) = (None, None);
        let describe_type = O::create_type_info;
        Self { name, description, describe_type, page, select_below, is_nullable: false, is_constant: false, write }
    }

    /// Adds the arguments of a list, with these descriptions.
    #[must_use]
    pub const fn paged(self, page: [&'static str; 4]) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Declares that the value never changes, so that cached JSON may contain it.
    #[must_use]
    pub const fn constant(self) -> Self {
        Self { is_constant: true, ..self }
    }
}
