//! Objects with the context in which they are resolved.

use std::borrow::Cow;

use async_graphql::{
    ContainerType, Context as FieldContext, ContextBase, ContextSelectionSet, ObjectType, OutputType, Positioned,
    ServerResult, Value,
};
use async_graphql::{parser::types::Field, registry::Registry, resolver_utils::resolve_container};
use bytes::Bytes;

use crate::engine::Context;
use crate::engine::context::{FieldsAreWatched, WritesText};
use crate::engine::executor::or_empty;
use crate::engine::object::field::{Composite, JsonObject, Select};
use crate::engine::object::json_writer::Writer;
use crate::engine::object::selected::{SelectedField, SelectedFields};
use crate::engine::object::{registry, selection};

/// Object with its context. The result of a sign-in has the context of the new session, not of the request.
pub struct Scoped<T: JsonObject> {
    /// The context.
    pub context: T::Context,
    /// The object.
    pub value: T,
}

/// Part of an object to write.
enum Part<'a> {
    Whole(SelectedFields<'a>),
    Field(SelectedField<'a>),
}

impl<T: JsonObject> Scoped<T> {
    /// Creates an object in a context.
    pub fn new(context: &T::Context, value: T) -> Self {
        Self { context: context.clone(), value }
    }

    /// Writes until no value is missing. Passes the JSON to `keep` if no field failed.
    async fn write<S>(
        &self,
        ctx: &ContextBase<'_, S>,
        part: Part<'_>,
        keep: impl FnOnce(&Bytes) + Send,
    ) -> ServerResult<Value> {
        let mut loaded = <T::Context as Context>::Loaded::default();
        loop {
            let mut writer = Writer::new(&self.context, &loaded, ctx.path_node.as_ref());
            let outcome = match &part {
                Part::Whole(fields) => writer.object(&self.value, fields),
                Part::Field(field) => writer.field(&self.value, field),
            };
            match writer.finish() {
                // Boxed: most objects load at most once, and the load would enlarge every field's future.
                Err(missing) => Box::pin(self.context.load(&mut loaded, *missing)).await,
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
                    return Ok(to_value(ctx, json));
                }
            }
        }
    }
}

/// Returns JSON text as a value of async-graphql. Parses the text if async-graphql has to merge objects.
fn to_value<S>(ctx: &ContextBase<'_, S>, json: Bytes) -> Value {
    if ctx.data_opt::<WritesText>().is_some() {
        return Value::Binary(json);
    }
    serde_json::from_slice(&json).unwrap_or_else(|error| {
        tracing::error!(error.message = %error, "an object could not be written as JSON");
        Value::Null
    })
}

impl<T: JsonObject> OutputType for Scoped<T> {
    fn type_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry::describe::<T, Self>(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        if FieldsAreWatched::in_context(ctx) {
            return resolve_container(ctx, self).await.map(or_empty);
        }
        let fields = selection::select::<T>(ctx, &[&ctx.item.node]);
        let mut description = String::new();
        let cached = self.value.cached_json(&fields).filter(|_| {
            description.reserve(128);
            fields.describe(&mut description).is_ok()
        });
        let Some(cached) = cached else { return self.write(ctx, Part::Whole(fields), |_| ()).await };
        if let Some((_, json)) = cached.get().filter(|(described, _)| *described == description) {
            return Ok(to_value(ctx, json.clone()));
        }
        self.write(ctx, Part::Whole(fields), |json| drop(cached.set((description, json.clone())))).await
    }
}

impl<T: JsonObject> ContainerType for Scoped<T> {
    async fn resolve_field(&self, ctx: &FieldContext<'_>) -> ServerResult<Option<Value>> {
        let Some(field) = selection::select_field::<T>(ctx) else { return Ok(None) };
        self.write(ctx, Part::Field(field), |_| ()).await.map(Some)
    }
}

impl<T: JsonObject> ObjectType for Scoped<T> {}

impl<T: JsonObject> Composite for Scoped<T> {
    const SELECT: Select = selection::select::<T>;
}

impl<T: JsonObject> Composite for Option<Scoped<T>> {
    const SELECT: Select = selection::select::<T>;
    const IS_NULLABLE: bool = true;
}

impl<T: JsonObject> Composite for Vec<Scoped<T>> {
    const SELECT: Select = selection::select::<T>;
}
