//! Shape of a result: fields in the document's order, and nulls for failed fields (GraphQL, sections 6.4.4 and 7.2.2).
//!
//! async-graphql omits a failed field instead of setting it to null, and orders fields as they complete. Clients expect
//! every key, and their caches report missing keys.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::registry::{MetaType, MetaTypeName, Registry};
use async_graphql::{Name, PathSegment, Pos, Response, Value};

use crate::{domain::ErrorCode, engine::RequestError};

/// Fields that an operation selects.
#[derive(Debug)]
pub struct ResultShape {
    fields: Vec<ShapeField>,
    merges_objects: bool,
}

#[derive(Debug)]
struct ShapeField {
    key: Name,
    ty: String,
    below: Vec<ShapeField>,
}

impl ResultShape {
    /// Returns the shape of a valid operation. Fails if two of its fields conflict.
    pub(super) fn of(
        registry: &Registry,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
    ) -> Result<Self, RequestError> {
        let root = root_type(registry, operation.ty);
        let mut builder = ShapeBuilder { registry, document, merges_objects: false };
        let mut drafts = Vec::new();
        if let Some(root) = root {
            builder.build(&operation.selection_set.node, root, &[], &mut drafts)?;
        }
        Ok(Self { fields: drafts.into_iter().map(ShapeField::from).collect(), merges_objects: builder.merges_objects })
    }

    /// Whether an object is selected several times under one response key, so that results must be merged.
    #[must_use]
    pub fn merges_objects(&self) -> bool {
        self.merges_objects
    }

    /// Sets each field that an error names to null, and puts all fields in order.
    pub fn restore(&self, response: &mut Response) {
        let mut nulls: Vec<&[PathSegment]> = Vec::new();
        for error in &response.errors {
            // An error inside a field that is already null changes nothing.
            if !error.path.is_empty() && !nulls.iter().any(|null| error.path.starts_with(null)) {
                let mut left = 0;
                fail(&mut response.data, "", &self.fields, &error.path, &mut left);
                nulls.push(&error.path[..error.path.len() - left]);
            }
        }
        arrange(&mut response.data, &self.fields);
    }
}

/// Builder of a shape.
struct ShapeBuilder<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    merges_objects: bool,
}

/// Field of a shape under construction, with all its selections.
struct Draft<'a> {
    key: &'a Name,
    ty: &'a str,
    below: Vec<Draft<'a>>,
    asked: Vec<Asked<'a>>,
}

/// One selection of a field, with the parent types from the root down.
struct Asked<'a> {
    field: &'a Field,
    of: Vec<&'a str>,
}

impl<'a> ShapeBuilder<'a> {
    fn build(
        &mut self,
        set: &'a SelectionSet,
        parent: &'a str,
        above: &[&'a str],
        drafts: &mut Vec<Draft<'a>>,
    ) -> Result<(), RequestError> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let asked = Asked { field: &field.node, of: [above, &[parent]].concat() };
                    self.draft(asked, field.pos, drafts)?;
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let parent = condition.map_or(parent, |condition| condition.node.on.node.as_str());
                    self.build(&fragment.node.selection_set.node, parent, above, drafts)?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) {
                        let parent = fragment.node.type_condition.node.on.node.as_str();
                        self.build(&fragment.node.selection_set.node, parent, above, drafts)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn draft(&mut self, asked: Asked<'a>, pos: Pos, drafts: &mut Vec<Draft<'a>>) -> Result<(), RequestError> {
        let key = &asked.field.response_key().node;
        let same = drafts.iter().position(|draft| draft.key == key);
        self.merges_objects |= same.is_some() && !asked.field.selection_set.node.items.is_empty();
        let index = same.unwrap_or_else(|| {
            let parent = asked.of.last().and_then(|parent| self.registry.types.get(*parent));
            let ty = parent.and_then(|parent| parent.field_by_name(&asked.field.name.node));
            let ty = ty.map_or("", |field| &field.ty);
            drafts.push(Draft { key, ty, below: Vec::new(), asked: Vec::new() });
            drafts.len() - 1
        });
        let Draft { ty, below, asked: others, .. } = &mut drafts[index];
        // The corresponding rule of async-graphql does not check fragments.
        if others.iter().any(|other| self.meet(&other.of, &asked.of) && !is_same(other.field, asked.field)) {
            let message = format!("Fields conflict: `{key}` has different fields or arguments; use aliases.");
            return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, message).at(pos));
        }
        self.build(&asked.field.selection_set.node, MetaTypeName::concrete_typename(ty), &asked.of, below)?;
        // A repeated selection adds no conflict, and a document may repeat a selection a thousand times.
        if !others.iter().any(|other| other.of == asked.of && is_same(other.field, asked.field)) {
            others.push(asked);
        }
        Ok(())
    }

    /// Whether both paths can lead to one object. Two different object types have no object in common.
    fn meet(&self, one: &[&str], other: &[&str]) -> bool {
        let is_abstract = |name: &str| !matches!(self.registry.types.get(name), Some(MetaType::Object { .. }));
        one.iter().zip(other).all(|(one, other)| one == other || is_abstract(one) || is_abstract(other))
    }
}

impl From<Draft<'_>> for ShapeField {
    fn from(draft: Draft<'_>) -> Self {
        let below = draft.below.into_iter().map(Self::from).collect();
        Self { key: draft.key.clone(), ty: draft.ty.to_owned(), below }
    }
}

/// Returns the root type of a kind of operation.
pub(super) fn root_type(registry: &Registry, kind: OperationType) -> Option<&str> {
    match kind {
        OperationType::Query => Some(&registry.query_type),
        OperationType::Mutation => registry.mutation_type.as_deref(),
        OperationType::Subscription => registry.subscription_type.as_deref(),
    }
}

/// Whether two selections have equal fields and arguments (GraphQL, section 5.3.2).
fn is_same(one: &Field, other: &Field) -> bool {
    one.name.node == other.name.node
        && one.arguments.len() == other.arguments.len()
        && one
            .arguments
            .iter()
            .all(|(name, value)| other.get_argument(&name.node).is_some_and(|found| found.node == value.node))
}

/// Sets the failed value at `path` to null, and each parent that may not contain that null. `left` becomes the number
/// of path segments below the outermost null. Returns whether the parent must become null too.
fn fail(value: &mut Value, ty: &str, fields: &[ShapeField], path: &[PathSegment], left: &mut usize) -> bool {
    let nullable = ty.strip_suffix('!').unwrap_or(ty);
    let failed = match path.split_first() {
        // A field may return a value as well as an error.
        None => *value == Value::Null,
        Some((PathSegment::Index(index), rest)) => match value {
            Value::List(items) => {
                let ty = nullable.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')).unwrap_or_default();
                items.get_mut(*index).is_some_and(|item| fail(item, ty, fields, rest, left))
            }
            _ => *value == Value::Null,
        },
        Some((PathSegment::Field(key), rest)) => {
            // async-graphql returns null for an object whose fields all failed.
            if *value == Value::Null {
                *value = Value::Object(IndexMap::new());
            }
            match (&mut *value, fields.iter().find(|field| field.key.as_str() == key)) {
                (Value::Object(object), Some(field)) => {
                    let value = object.entry(field.key.clone()).or_default();
                    fail(value, &field.ty, &field.below, rest, left)
                }
                _ => false,
            }
        }
    };
    if failed {
        *value = Value::Null;
        *left = path.len();
    }
    failed && ty.ends_with('!')
}

fn arrange(value: &mut Value, fields: &[ShapeField]) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| arrange(item, fields)),
        Value::Object(object) => {
            let mut rest = fields.iter();
            if !object.keys().all(|key| rest.any(|field| field.key == *key)) {
                object.sort_by_cached_key(|key, _| fields.iter().position(|field| field.key == *key));
            }
            let mut rest = fields.iter();
            for (key, value) in object {
                if let Some(field) = rest.find(|field| field.key == *key)
                    && !field.below.is_empty()
                {
                    arrange(value, &field.below);
                }
            }
        }
        _ => {}
    }
}
