//! Checks values of variables and arguments against their types (GraphQL, sections 6.1.2 and 6.4.1).
//!
//! Validation therefore does not depend on a request's variables and runs once per document. Resolvers never receive a
//! value that they cannot read. Errors name the invalid part of the input.

use std::collections::HashSet;

use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet};
use async_graphql::registry::{MetaInputValue, MetaType, MetaTypeName, Registry};
use async_graphql::{Pos, Value, Variables};

use crate::domain::{ErrorCode, Timestamp};
use crate::engine::{RequestError, result_shape::root_type};

/// Checks the variables of an operation. Returns one error for each invalid variable.
pub(super) fn check_variables(
    registry: &Registry,
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<(), Vec<RequestError>> {
    let mut errors = Vec::new();
    for definition in &operation.variable_definitions {
        let name = definition.node.name.node.as_str();
        let ty = definition.node.var_type.node.to_string();
        let outcome = match variables.get(name) {
            Some(value) => fits(registry, &ty, value),
            None if definition.node.default_value().is_none() => Err(Misfit::new(format!("expected {ty}"))),
            None => Ok(()),
        };
        if let Err(misfit) = outcome {
            errors.push(misfit.error("variable $", name, definition.pos));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Checks arguments of fields for errors that async-graphql's rule accepts, such as an `Int` of more than 32 bits.
/// Without `variables`, values that contain variables are skipped. An omitted variable counts as null, as in
/// async-graphql.
pub(super) fn check_arguments(
    registry: &Registry,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: Option<&Variables>,
) -> Result<(), RequestError> {
    let mut walk = Walk { registry, document, variables, seen: HashSet::new() };
    walk.set(&operation.selection_set.node, root_type(registry, operation.ty).unwrap_or_default())
}

/// Whether null was sent for a variable that has a default. The variable's type may be nullable where the argument's
/// type is not.
pub(super) fn has_null_for_default(operation: &OperationDefinition, variables: &Variables) -> bool {
    operation.variable_definitions.iter().any(|definition| {
        definition.node.default_value.is_some()
            && variables.get(&definition.node.name.node).is_some_and(|value| *value == Value::Null)
    })
}

/// Sets omitted variables to their defaults. async-graphql does so for arguments of fields, but not of directives.
pub(super) fn set_defaults(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        if let Some(default) = &definition.node.default_value
            && !variables.contains_key(name)
        {
            variables.insert(name.clone(), default.node.clone());
        }
    }
}

/// Walk over the fields of a document that enters each fragment once.
struct Walk<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    variables: Option<&'a Variables>,
    seen: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet, parent: &str) -> Result<(), RequestError> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let meta = self.registry.types.get(parent).and_then(|ty| ty.field_by_name(&field.node.name.node));
                    // Introspection fields are left to async-graphql.
                    let Some(meta) = meta else { continue };
                    for (name, value) in &field.node.arguments {
                        let literal = value.node.clone();
                        let known = literal.into_const_with(|name| {
                            self.variables.map(|variables| variables.get(&name).cloned().unwrap_or_default()).ok_or(())
                        });
                        if let (Some(argument), Ok(known)) = (meta.args.get(name.node.as_str()), known) {
                            fits(self.registry, &argument.ty, &known)
                                .map_err(|misfit| misfit.error("argument ", &name.node, value.pos))?;
                        }
                    }
                    self.set(&field.node.selection_set.node, MetaTypeName::concrete_typename(&meta.ty))?;
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let parent = condition.map_or(parent, |condition| condition.node.on.node.as_str());
                    self.set(&fragment.node.selection_set.node, parent)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.seen.insert(name)
                    {
                        let parent = fragment.node.type_condition.node.on.node.as_str();
                        self.set(&fragment.node.selection_set.node, parent)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Mismatch between a value and its type.
struct Misfit {
    path: String,
    reason: String,
}

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    fn error(self, what: &str, name: &str, position: Pos) -> RequestError {
        let field = format!("{name}{}", self.path);
        let message = format!("The {what}{field} is invalid: {}.", self.reason);
        RequestError::new(ErrorCode::BadUserInput, message).at(position).with("field", field)
    }

    fn under(mut self, segment: impl std::fmt::Display) -> Self {
        self.path = format!(".{segment}{}", self.path);
        self
    }
}

fn fits(registry: &Registry, ty: &str, value: &Value) -> Result<(), Misfit> {
    match (MetaTypeName::create(ty), value) {
        (MetaTypeName::NonNull(_), Value::Null) => Err(Misfit::new(format!("expected {ty}"))),
        (_, Value::Null) => Ok(()),
        (MetaTypeName::NonNull(inner), value) => fits(registry, inner, value),
        (MetaTypeName::List(item), Value::List(values)) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| fits(registry, item, value).map_err(|misfit| misfit.under(index))),
        // A single value is coerced to a list of one.
        (MetaTypeName::List(item), value) => fits(registry, item, value),
        (MetaTypeName::Named(name), value) => match registry.types.get(name) {
            Some(MetaType::Scalar { is_valid, .. }) => {
                let is_valid = is_valid.as_ref().is_none_or(|is_valid| is_valid(value));
                if is_valid && is_readable(name, value) { Ok(()) } else { Err(expected(name)) }
            }
            Some(MetaType::Enum { enum_values, .. }) => match value {
                Value::String(value) if enum_values.contains_key(value) => Ok(()),
                Value::Enum(value) if enum_values.contains_key(value.as_str()) => Ok(()),
                _ => Err(expected(name)),
            },
            Some(MetaType::InputObject { input_fields, oneof, .. }) => {
                let Value::Object(fields) = value else { return Err(expected(name)) };
                if *oneof && (fields.len() != 1 || fields.values().any(|value| *value == Value::Null)) {
                    return Err(Misfit::new(format!("expected exactly one field of {name}")));
                }
                if let Some(unknown) = fields.keys().find(|field| !input_fields.contains_key(field.as_str())) {
                    return Err(Misfit::new(format!("{name} has no such field")).under(unknown));
                }
                input_fields.values().try_for_each(|field| {
                    field_fits(registry, field, fields.get(field.name.as_str()))
                        .map_err(|misfit| misfit.under(&field.name))
                })
            }
            // Validation has rejected variables of any other type.
            _ => Ok(()),
        },
    }
}

fn field_fits(registry: &Registry, field: &MetaInputValue, value: Option<&Value>) -> Result<(), Misfit> {
    match value {
        Some(value) => fits(registry, &field.ty, value),
        None if field.default_value.is_none() && field.ty.ends_with('!') => {
            Err(Misfit::new(format!("expected {}", field.ty)))
        }
        None => Ok(()),
    }
}

/// Whether resolvers can read a value of a scalar.
///
/// GraphQL allows 32 bits for an `Int`, but async-graphql accepts 64. It also accepts any text for a `DateTime`.
fn is_readable(scalar: &str, value: &Value) -> bool {
    match (scalar, value) {
        ("Int", Value::Number(number)) => number.as_i64().is_some_and(|int| i32::try_from(int).is_ok()),
        ("DateTime", Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        ("Int" | "DateTime", _) => false,
        _ => true,
    }
}

fn expected(name: &str) -> Misfit {
    Misfit::new(format!("expected {name}"))
}
