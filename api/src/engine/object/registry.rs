//! Descriptions of object types for the schema.

use async_graphql::indexmap::IndexMap;
use async_graphql::registry::{Deprecation, MetaField, MetaInputValue, MetaType, MetaTypeId, Registry};
use async_graphql::{InputType, OutputType};

use crate::engine::object::field::{Field, JsonObject};

/// Registers a type, unless it is registered, and returns its qualified name. `O` is the output type of its objects.
pub(super) fn describe<T: JsonObject, O: OutputType>(registry: &mut Registry) -> String {
    registry.create_output_type::<O, _>(MetaTypeId::Object, |registry| MetaType::Object {
        name: T::NAME.to_owned(),
        description: Some(T::DESCRIPTION.to_owned()),
        fields: T::FIELDS.iter().map(|it| (it.name.to_owned(), field(it, registry))).collect(),
        cache_control: async_graphql::CacheControl::default(),
        extends: false,
        shareable: false,
        resolvable: true,
        keys: None,
        visible: None,
        inaccessible: false,
        interface_object: false,
        tags: Vec::new(),
        is_subscription: false,
        rust_typename: Some(std::any::type_name::<O>()),
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    })
}

fn field<T: JsonObject>(field: &Field<T>, registry: &mut Registry) -> MetaField {
    MetaField {
        name: field.name.to_owned(),
        description: Some(field.description.to_owned()),
        args: field.page.map_or_else(IndexMap::new, |page| arguments(page, registry)),
        ty: (field.describe_type)(registry),
        deprecation: Deprecation::NoDeprecated,
        cache_control: async_graphql::CacheControl::default(),
        external: false,
        requires: None,
        provides: None,
        visible: None,
        shareable: false,
        inaccessible: false,
        tags: Vec::new(),
        override_from: None,
        compute_complexity: None,
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    }
}

/// Returns the four arguments of a list.
fn arguments(descriptions: [&str; 4], registry: &mut Registry) -> IndexMap<String, MetaInputValue> {
    let int: fn(&mut Registry) -> String = <Option<i32> as InputType>::create_type_info;
    let text: fn(&mut Registry) -> String = <Option<String> as InputType>::create_type_info;
    let kinds = [("first", int), ("after", text), ("last", int), ("before", text)];
    let mut arguments = IndexMap::new();
    for ((name, ty), description) in kinds.into_iter().zip(descriptions) {
        let value = MetaInputValue {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            ty: ty(registry),
            deprecation: Deprecation::NoDeprecated,
            default_value: None,
            visible: None,
            inaccessible: false,
            tags: Vec::new(),
            is_secret: false,
            directive_invocations: Vec::new(),
        };
        arguments.insert(name.to_owned(), value);
    }
    arguments
}
