//! Applies `@skip` and `@include`, the only directives of the schema (GraphQL, sections 3.13.1 and 3.13.2).

use async_graphql::parser::types::{Directive, Selection, SelectionSet};
use async_graphql::{Positioned, Value, Variables};

/// Removes skipped selections, and all directives.
pub(super) fn apply(set: &mut SelectionSet, variables: &Variables) {
    set.items.retain(|selection| is_asked(selection.node.directives(), variables));
    for selection in &mut set.items {
        selection.node.directives_mut().clear();
        match &mut selection.node {
            Selection::Field(field) => apply(&mut field.node.selection_set.node, variables),
            Selection::InlineFragment(fragment) => apply(&mut fragment.node.selection_set.node, variables),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn is_asked(directives: &[Positioned<Directive>], variables: &Variables) -> bool {
    directives.iter().all(|directive| {
        let condition = directive.node.get_argument("if").map(|value| value.node.clone());
        let value =
            condition.and_then(|value| value.into_const_with(|name| variables.get(&name).cloned().ok_or(())).ok());
        // The value is a Boolean, or null if null was sent for a variable with a default. Null counts as false.
        (value == Some(Value::Boolean(true))) == (directive.node.name.node == "include")
    })
}
