//! Cost of introspection, and a cache of its answers.
//!
//! Tools send one long query, which is slow to execute and whose answer never changes.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::registry::{MetaType, Registry};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::engine::prepare::persisted::Digest;

/// Fields of introspection in one unit of cost. The standard query costs half of `max_complexity`.
const FIELDS_PER_UNIT: usize = 64;

/// Memory for answers, in bytes. The standard query has a few variants.
const ANSWERS_BYTES: u64 = 4 * 1024 * 1024;

/// Number of answers that the cache expects.
const ANSWERS: usize = 16;

/// Lengths of the lists that introspection returns, on average.
pub(super) struct SchemaSize {
    types: usize,
    fields: usize,
    arguments: usize,
    input_fields: usize,
    values: usize,
    related: usize,
    directives: usize,
}

/// Answers to documents that contain only introspection.
pub(super) struct IntrospectionAnswers(Cache<Digest, Bytes, Length>);

#[derive(Clone)]
struct Length;

impl Weighter<Digest, Bytes> for Length {
    fn weight(&self, _: &Digest, answer: &Bytes) -> u64 {
        answer.len() as u64
    }
}

impl SchemaSize {
    /// Measures a schema.
    pub(super) fn of(registry: &Registry) -> Self {
        let (mut fields, mut arguments, mut input_fields, mut values, mut related) = (0, 0, 0, 0, 0);
        for meta in registry.types.values() {
            match meta {
                MetaType::Object { fields: own, .. } | MetaType::Interface { fields: own, .. } => {
                    fields += own.len();
                    arguments += own.values().map(|field| field.args.len()).sum::<usize>();
                }
                MetaType::InputObject { input_fields: own, .. } => input_fields += own.len(),
                MetaType::Enum { enum_values, .. } => values += enum_values.len(),
                MetaType::Union { possible_types, .. } => related += possible_types.len(),
                MetaType::Scalar { .. } => {}
            }
        }
        // Each implementation of an interface is listed at both.
        related += 2 * registry.implements.values().flatten().count();
        let types = registry.types.len().max(1);
        Self {
            types,
            fields: fields.div_ceil(types),
            arguments: arguments.div_ceil(fields.max(1)),
            input_fields: input_fields.div_ceil(types),
            values: values.div_ceil(types),
            related: related.div_ceil(types),
            directives: registry.directives.len(),
        }
    }

    /// Returns the cost of a root field of introspection.
    pub(super) fn cost(&self, document: &ExecutableDocument, field: &Field) -> usize {
        let mut fragments = HashMap::new();
        self.field(document, field, &mut fragments).div_ceil(FIELDS_PER_UNIT)
    }

    /// Returns the estimated number of fields in the answer to one field.
    fn field<'a>(
        &self,
        document: &'a ExecutableDocument,
        field: &'a Field,
        fragments: &mut HashMap<&'a str, usize>,
    ) -> usize {
        let below = self.set(document, &field.selection_set.node, fragments);
        let items = match field.name.node.as_str() {
            "types" => self.types,
            "fields" => self.fields,
            "args" => self.arguments,
            "inputFields" => self.input_fields,
            "enumValues" => self.values,
            "interfaces" | "possibleTypes" => self.related,
            "directives" => self.directives,
            _ => 1,
        };
        below.saturating_mul(items).saturating_add(1)
    }

    fn set<'a>(
        &self,
        document: &'a ExecutableDocument,
        set: &'a SelectionSet,
        fragments: &mut HashMap<&'a str, usize>,
    ) -> usize {
        set.items.iter().fold(0_usize, |sum, selection| {
            sum.saturating_add(match &selection.node {
                Selection::Field(field) => self.field(document, &field.node, fragments),
                Selection::InlineFragment(fragment) => self.set(document, &fragment.node.selection_set.node, fragments),
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    if let Some(known) = fragments.get(name) {
                        return sum.saturating_add(*known);
                    }
                    // `limits` has rejected cycles.
                    let fragment = document.fragments.get(name);
                    let fields = fragment.map_or(0, |it| self.set(document, &it.node.selection_set.node, fragments));
                    fragments.insert(name, fields);
                    fields
                }
            })
        })
    }
}

impl IntrospectionAnswers {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(ANSWERS, ANSWERS_BYTES, Length))
    }

    pub(super) fn get(&self, document: &Digest) -> Option<Bytes> {
        self.0.get(document)
    }

    /// Keeps a copy, because the answer itself may hold a reservation.
    pub(super) fn insert(&self, document: Digest, answer: &Bytes) {
        self.0.insert(document, Bytes::copy_from_slice(answer));
    }
}
