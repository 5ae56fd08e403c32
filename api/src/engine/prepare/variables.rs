//! Variables against the types that the operation gives them (GraphQL specification, 6.1.2).
//!
//! With this, validation does not depend on a request's variables, and can be done once a document. It also tells
//! clients which part of an input is wrong, before anything runs.

use async_graphql::{
    Value, Variables,
    parser::types::OperationDefinition,
    registry::{MetaInputValue, MetaType, MetaTypeName, Registry},
};

use crate::{domain::ErrorCode, engine::prepare::RequestError};

/// Refuses variables that the operation cannot take: one refusal a variable.
pub(crate) fn check(
    registry: &Registry,
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<(), Vec<RequestError>> {
    let mut refusals = Vec::new();
    for definition in &operation.variable_definitions {
        let name = definition.node.name.node.as_str();
        let ty = definition.node.var_type.node.to_string();
        let outcome = match variables.get(name) {
            Some(value) => fits(registry, &ty, value),
            None if definition.node.default_value().is_none() => Err(Misfit::new(format!("expected {ty}"))),
            None => Ok(()),
        };
        if let Err(misfit) = outcome {
            let field = format!("{name}{}", misfit.path);
            let message = format!("The variable ${field} is not acceptable: {}.", misfit.reason);
            let mut refusal = RequestError::new(ErrorCode::BadUserInput, message).at(definition.pos);
            refusal.fields.push(("field", field.into()));
            refusals.push(refusal);
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// Gives variables that were left out the values that the operation has for them: the library does so for arguments of
/// fields, and forgets it for those of directives.
pub(crate) fn complete(operation: &OperationDefinition, variables: &mut Variables) {
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        if let Some(default) = &definition.node.default_value
            && !variables.contains_key(name)
        {
            variables.insert(name.clone(), default.node.clone());
        }
    }
}

/// Why a value does not fit, and where in it.
struct Misfit {
    path: String,
    reason: String,
}

impl Misfit {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
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
        // A single value stands for a list of one.
        (MetaTypeName::List(item), value) => fits(registry, item, value),
        (MetaTypeName::Named(name), value) => match registry.types.get(name) {
            Some(MetaType::Scalar { is_valid, .. }) => {
                let is_valid = is_valid.as_ref().is_none_or(|is_valid| is_valid(value));
                if is_valid && (name != "Int" || is_int(value)) { Ok(()) } else { Err(expected(name)) }
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
            // Validation has refused variables of any other type.
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

/// The library takes any 64-bit integer for an `Int` until a resolver reads it; the specification says 32 bits.
fn is_int(value: &Value) -> bool {
    matches!(value, Value::Number(number) if number.as_i64().is_some_and(|int| i32::try_from(int).is_ok()))
}

fn expected(name: &str) -> Misfit {
    Misfit::new(format!("expected {name}"))
}
