//! Objects that are written as a whole: straight to JSON, without a future and a value for each of their fields.
//!
//! The library makes a boxed future of every field and a map of every object, which is most of what a page of messages
//! costs. Here a type names its fields in a table, and an object is written by plain calls. What has to be read first is
//! noted while writing, read together, and the object is written again: as often as an answer has levels to load.

pub mod json_writer;
mod loaded;
pub mod registry;
pub mod selection;

use std::{borrow::Cow, sync::OnceLock};

use async_graphql::{
    ContainerType, Context, ContextBase, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value,
    parser::types::Field as Asked, registry::Registry, resolver_utils::resolve_container,
};
use bytes::Bytes;

pub(crate) use self::{
    json_writer::{Outcome, Writer},
    selection::{SelectedField, SelectedFields},
};
use crate::{
    engine::{field_spans, object::loaded::Loaded},
    graphql::request_scope::Scope,
};

/// A type of object that is written as a whole.
pub(crate) trait JsonObject: Sized + Send + Sync + 'static {
    /// What the schema calls it.
    const NAME: &'static str;
    /// What it is.
    const DESCRIPTION: &'static str;
    /// Its fields, in the order of the schema.
    const FIELDS: &'static [Field<Self>];

    /// Where others who are shown the same value, and ask for the same of it, find its JSON; nowhere if it may be another
    /// for them.
    fn kept(&self, _: &SelectedFields<'_>) -> Option<&CachedJson> {
        None
    }
}

/// The JSON of a value as one reader asked for it, under the name of what that was.
pub(crate) type CachedJson = OnceLock<(String, Bytes)>;

/// A field: how the schema describes it, and how it is written.
pub(crate) struct Field<T> {
    name: &'static str,
    description: &'static str,
    ty: registry::Describe,
    /// What the arguments of a list mean: `first`, `after`, `last` and `before`.
    page: Option<[&'static str; 4]>,
    below: Option<selection::Compile>,
    /// Whether it is null where something in it fails.
    is_nullable: bool,
    write: Write<T>,
}

enum Write<T> {
    Leaf(fn(&T, &mut Writer<'_>)),
    Loading(for<'a> fn(&T, &SelectedField<'a>, &mut Writer<'a>) -> Outcome),
}

/// A field without a selection, of the output type `O`.
pub(crate) const fn leaf<T, O: OutputType>(
    name: &'static str,
    description: &'static str,
    write: fn(&T, &mut Writer<'_>),
) -> Field<T> {
    Field::new::<O>(name, description, Write::Leaf(write))
}

/// A field without a selection whose value is loaded and never null, of the output type `O`.
pub(crate) const fn lookup<T, O: OutputType>(
    name: &'static str,
    description: &'static str,
    write: for<'a> fn(&T, &SelectedField<'a>, &mut Writer<'a>) -> Outcome,
) -> Field<T> {
    Field::new::<O>(name, description, Write::Loading(write))
}

/// A field with a selection, of the output type `O`.
pub(crate) const fn object<T, O: Composite>(
    name: &'static str,
    description: &'static str,
    write: for<'a> fn(&T, &SelectedField<'a>, &mut Writer<'a>) -> Outcome,
) -> Field<T> {
    let below = Some(selection::plan::<O::Object> as selection::Compile);
    Field { below, is_nullable: O::IS_NULLABLE, ..Field::new::<O>(name, description, Write::Loading(write)) }
}

impl<T> Field<T> {
    const fn new<O: OutputType>(name: &'static str, description: &'static str, write: Write<T>) -> Self {
        Self { name, description, ty: O::create_type_info, page: None, below: None, is_nullable: false, write }
    }

    /// The same with the arguments of a list, which mean this.
    pub(crate) const fn paged(self, page: [&'static str; 4]) -> Self {
        Self { page: Some(page), ..self }
    }
}

/// An output type with a selection: an object, one that may be absent, or a list.
pub(crate) trait Composite: OutputType {
    /// The type of its objects.
    type Object: JsonObject;
    /// Whether it may be absent.
    const IS_NULLABLE: bool = false;
}

impl<T: JsonObject> Composite for Scoped<T> {
    type Object = T;
}

impl<T: JsonObject> Composite for Option<Scoped<T>> {
    type Object = T;
    const IS_NULLABLE: bool = true;
}

impl<T: JsonObject> Composite for Vec<Scoped<T>> {
    type Object = T;
}

/// An object with the operation that it is shown in.
///
/// It is not the request's, because what a sign-in returns belongs to whoever has just signed in.
pub(crate) struct Scoped<T> {
    pub(crate) scope: Scope,
    pub(crate) value: T,
}

impl<T: JsonObject> Scoped<T> {
    pub(crate) fn new(scope: &Scope, value: T) -> Self {
        Self { scope: scope.clone(), value }
    }

    /// Writes until nothing is left to be loaded; `keep` gets what nothing has failed in.
    async fn write<S>(
        &self,
        ctx: &ContextBase<'_, S>,
        part: Part<'_>,
        keep: impl FnOnce(&Bytes) + Send,
    ) -> ServerResult<Value> {
        let mut loaded = Loaded::default();
        loop {
            let mut writer = Writer::new(&self.scope, &loaded, ctx.path_node.as_ref());
            let outcome = match &part {
                Part::Whole(plan) => writer.object(&self.value, plan),
                Part::Field(entry) => writer.field(&self.value, entry),
            };
            match writer.finish() {
                // In a box: it would be most of a future that is moved, with every field above it, and mostly not needed.
                Err(missing) => Box::pin(loaded.load(&self.scope, *missing)).await,
                Ok((json, errors)) => {
                    let is_whole = errors.is_empty();
                    for error in errors {
                        ctx.add_error(error);
                    }
                    outcome.map_err(|error| *error)?;
                    let json = Bytes::from(json);
                    if is_whole {
                        keep(&json);
                    }
                    return Ok(self.scope.value(json));
                }
            }
        }
    }
}

/// What is written of an object at a time.
enum Part<'a> {
    Whole(SelectedFields<'a>),
    Field(SelectedField<'a>),
}

impl<T: JsonObject> OutputType for Scoped<T> {
    fn type_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry::object::<T>(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Asked>) -> ServerResult<Value> {
        if field_spans::are_watched(ctx) {
            return resolve_container(ctx, self).await;
        }
        let plan = selection::plan::<T>(ctx, &[&ctx.item.node]);
        let Some(kept) = self.value.kept(&plan) else { return self.write(ctx, Part::Whole(plan), |_| ()).await };
        let mut name = String::with_capacity(128);
        plan.spell(&mut name);
        if let Some((_, json)) = kept.get().filter(|(kept, _)| *kept == name) {
            return Ok(self.scope.value(json.clone()));
        }
        self.write(ctx, Part::Whole(plan), |json| drop(kept.set((name, json.clone())))).await
    }
}

impl<T: JsonObject> ContainerType for Scoped<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let Some(entry) = SelectedField::of::<T>(ctx) else { return Ok(None) };
        self.write(ctx, Part::Field(entry), |_| ()).await.map(Some)
    }
}

impl<T: JsonObject> ObjectType for Scoped<T> {}
