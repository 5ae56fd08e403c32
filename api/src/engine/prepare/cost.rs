//! Computes the static cost of an operation: how many objects it may return, with full pages, before it runs.
//!
//! A field with a selection costs 1, a leaf nothing, and a root field at least 1. Fields below `edges`, `nodes` or
//! `events` count once per item of the enclosing page. The page size is `first`, `last` or the default. A field with
//! `ids` counts once per id. A page size over the maximum counts as the maximum: the resolver rejects it as bad input.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Value, Variables};

use crate::{config::graphql::Graphql, engine::prepare::limits::is_introspection};

/// Fields that hold the items of a page.
const ITEMS: [&str; 3] = ["edges", "nodes", "events"];

/// Returns the cost of an operation with these variables, which include defaults.
pub(super) fn of(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    limits: &Graphql,
) -> usize {
    let mut costs = Costs { document, variables, limits, fragments: HashMap::new() };
    let root = costs.set(&operation.selection_set.node, true);
    root.once.saturating_add(root.per_item)
}

/// Cost that still depends on the size of the enclosing page.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    once: usize,
    per_item: usize,
}

struct Costs<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    limits: &'a Graphql,
    fragments: HashMap<(&'a str, bool), Cost>,
}

impl<'a> Costs<'a> {
    fn set(&mut self, set: &'a SelectionSet, is_root: bool) -> Cost {
        set.items.iter().fold(Cost::default(), |sum, selection| {
            let cost = match &selection.node {
                Selection::Field(field) => self.field(&field.node, is_root),
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node, is_root),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, is_root),
            };
            Cost { once: sum.once.saturating_add(cost.once), per_item: sum.per_item.saturating_add(cost.per_item) }
        })
    }

    /// Returns the cost of a fragment. `limits` has rejected cycles.
    fn fragment(&mut self, name: &'a str, is_root: bool) -> Cost {
        if let Some(cost) = self.fragments.get(&(name, is_root)) {
            return *cost;
        }
        let Some(fragment) = self.document.fragments.get(name) else { return Cost::default() };
        let cost = self.set(&fragment.node.selection_set.node, is_root);
        self.fragments.insert((name, is_root), cost);
        cost
    }

    fn field(&mut self, field: &'a Field, is_root: bool) -> Cost {
        let name = field.name.node.as_str();
        if is_introspection(name) {
            return Cost::default();
        }
        let own = usize::from(is_root || !field.selection_set.node.items.is_empty());
        let below = self.set(&field.selection_set.node, false);
        let total = if let Some(length) = self.length(field, "ids") {
            below.once.saturating_add(below.per_item).saturating_add(own).saturating_mul(length)
        } else {
            let page = self.length(field, "first").or_else(|| self.length(field, "last"));
            let page = page.unwrap_or(self.limits.default_page_size);
            below.per_item.saturating_mul(page).saturating_add(below.once).saturating_add(own)
        };
        if ITEMS.contains(&name) && !is_root {
            Cost { once: 0, per_item: total }
        } else {
            Cost { once: total, per_item: 0 }
        }
    }

    /// Returns the number in an argument: of requested items, or of ids.
    fn length(&self, field: &Field, argument: &str) -> Option<usize> {
        let value = field.get_argument(argument)?.node.clone();
        let value = value.into_const_with(|name| self.variables.get(&name).cloned().ok_or(())).ok()?;
        match value {
            Value::Number(number) => {
                let asked = usize::try_from(number.as_i64()?.max(0)).unwrap_or(usize::MAX);
                Some(asked.min(self.limits.max_page_size))
            }
            Value::List(items) => Some(items.len()),
            _ => None,
        }
    }
}
