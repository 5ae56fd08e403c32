//! What the schema says of a type that is written as a whole.

use async_graphql::{
    InputType,
    indexmap::IndexMap,
    registry::{Deprecation, MetaField, MetaInputValue, MetaType, MetaTypeId, Registry},
};

use crate::engine::object::{Field, JsonObject, Scoped};

/// Puts a type into the registry and says its qualified name.
pub(crate) type Describe = fn(&mut Registry) -> String;

/// Puts a type into the registry, unless it is there, and says its qualified name.
pub(crate) fn object<T: JsonObject>(registry: &mut Registry) -> String {
    registry.create_output_type::<Scoped<T>, _>(MetaTypeId::Object, |registry| MetaType::Object {
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
        rust_typename: Some(std::any::type_name::<Scoped<T>>()),
        directive_invocations: Vec::new(),
        requires_scopes: Vec::new(),
    })
}

fn field<T>(field: &Field<T>, registry: &mut Registry) -> MetaField {
    MetaField {
        name: field.name.to_owned(),
        description: Some(field.description.to_owned()),
        args: field.page.map_or_else(IndexMap::new, |page| arguments(page, registry)),
        ty: (field.ty)(registry),
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

/// The four arguments of a list.
fn arguments(descriptions: [&str; 4], registry: &mut Registry) -> IndexMap<String, MetaInputValue> {
    let int: Describe = <Option<i32> as InputType>::create_type_info;
    let text: Describe = <Option<String> as InputType>::create_type_info;
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
