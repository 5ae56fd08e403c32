//! Computes the static cost of an operation before it runs: its units, and the bytes of its largest answer.
//!
//! A root field, a field with a selection and a large leaf cost 1 unit each. Other leaves cost nothing. Fields below
//! `edges`, `nodes` or `events` count once per item of the enclosing page. The page size is `first`, `last` or the
//! default. A field with `ids` counts once per id. A page size over the maximum counts as the maximum: the resolver
//! rejects it as bad input. Introspection costs by the length of the schema's lists.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet};
use async_graphql::{Value, Variables};

use crate::config::graphql::Graphql;
use crate::domain::{account::KEY_VAULT_MAX_BYTES, message::MESSAGE_MAX_BYTES};
use crate::engine::prepare::{introspection::SchemaSize, limits::is_introspection};

/// Fields that hold the items of a page.
const ITEMS: [&str; 3] = ["edges", "nodes", "events"];

/// Large leaves, and the maximum of their bytes in JSON.
const LARGE: [(&str, usize); 3] =
    [("encryptedContent", in_base64(MESSAGE_MAX_BYTES)), ("keyVault", in_base64(KEY_VAULT_MAX_BYTES)), ("pqc", 2048)];

/// Maximum bytes of any other leaf in JSON: the metadata of a metric.
const LEAF_MAX_BYTES: usize = 2048;

/// Cost of an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Units of `max_complexity`.
    pub units: usize,
    /// Maximum bytes of the answer.
    pub bytes: usize,
}

/// Returns the cost of an operation with these variables, which include defaults.
pub(super) fn of(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    limits: &Graphql,
    schema: &SchemaSize,
) -> Cost {
    let mut costs = Costs { document, variables, limits, schema, fragments: HashMap::new() };
    let root = costs.set(&operation.selection_set.node, true);
    root.once.plus(root.per_item)
}

const fn in_base64(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self { units: self.units.saturating_add(other.units), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn times(self, count: usize) -> Self {
        Self { units: self.units.saturating_mul(count), bytes: self.bytes.saturating_mul(count) }
    }
}

/// Cost that still depends on the size of the enclosing page.
#[derive(Debug, Clone, Copy, Default)]
struct OpenCost {
    once: Cost,
    per_item: Cost,
}

struct Costs<'a> {
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    limits: &'a Graphql,
    schema: &'a SchemaSize,
    fragments: HashMap<(&'a str, bool), OpenCost>,
}

impl<'a> Costs<'a> {
    fn set(&mut self, set: &'a SelectionSet, is_root: bool) -> OpenCost {
        set.items.iter().fold(OpenCost::default(), |sum, selection| {
            let cost = match &selection.node {
                Selection::Field(field) => self.field(&field.node, is_root),
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node, is_root),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, is_root),
            };
            OpenCost { once: sum.once.plus(cost.once), per_item: sum.per_item.plus(cost.per_item) }
        })
    }

    /// Returns the cost of a fragment. `limits` has rejected cycles.
    fn fragment(&mut self, name: &'a str, is_root: bool) -> OpenCost {
        if let Some(cost) = self.fragments.get(&(name, is_root)) {
            return *cost;
        }
        let Some(fragment) = self.document.fragments.get(name) else { return OpenCost::default() };
        let cost = self.set(&fragment.node.selection_set.node, is_root);
        self.fragments.insert((name, is_root), cost);
        cost
    }

    fn field(&mut self, field: &'a Field, is_root: bool) -> OpenCost {
        let name = field.name.node.as_str();
        if is_introspection(name) {
            let units = self.schema.cost(self.document, field);
            return OpenCost { once: Cost { units, bytes: 0 }, per_item: Cost::default() };
        }
        let own = own_cost(field, is_root);
        let below = self.set(&field.selection_set.node, false);
        let total = if let Some(length) = self.length(field, "ids") {
            below.once.plus(below.per_item).plus(own).times(length)
        } else {
            let page = self.length(field, "first").or_else(|| self.length(field, "last"));
            let page = page.unwrap_or(self.limits.default_page_size);
            below.per_item.times(page).plus(below.once).plus(own)
        };
        if ITEMS.contains(&name) && !is_root {
            OpenCost { once: Cost::default(), per_item: total }
        } else {
            OpenCost { once: total, per_item: Cost::default() }
        }
    }

    /// Returns the number of requested items or of ids in an argument.
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

/// Returns the cost of a field without its selection.
fn own_cost(field: &Field, is_root: bool) -> Cost {
    let large = LARGE.iter().find(|(name, _)| *name == field.name.node.as_str());
    let (is_object, key) = (!field.selection_set.node.items.is_empty(), field.response_key().node.len());
    let bytes = match large {
        Some((_, bytes)) => *bytes,
        None if is_object => 0,
        None => LEAF_MAX_BYTES,
    };
    Cost { units: usize::from(is_root || is_object || large.is_some()), bytes: bytes.saturating_add(key + 8) }
}
