//! The shape of an answer: fields in the document's order, and the nulls that errors leave (GraphQL, 6.4.4 and 7.2.2).
//!
//! The library drops a field that failed from its object instead of answering `null` for it, nullable or not, and
//! orders fields as they were finished. Clients look for the key, and caches of clients complain when it is missing.

use async_graphql::{
    Name, PathSegment, Response, Value,
    indexmap::IndexMap,
    parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet},
    registry::{MetaTypeName, Registry},
};

/// The fields that an operation asks for.
#[derive(Debug)]
pub struct Outline {
    lines: Vec<Line>,
    repeats: bool,
}

#[derive(Debug)]
struct Line {
    key: Name,
    ty: String,
    below: Vec<Line>,
}

impl Outline {
    /// The outline of an operation that is valid and within the limits.
    pub(super) fn of(registry: &Registry, document: &ExecutableDocument, operation: &OperationDefinition) -> Self {
        let root = match operation.ty {
            OperationType::Query => Some(&registry.query_type),
            OperationType::Mutation => registry.mutation_type.as_ref(),
            OperationType::Subscription => registry.subscription_type.as_ref(),
        };
        let mut outline = Self { lines: Vec::new(), repeats: false };
        if let Some(root) = root {
            let Self { lines, repeats } = &mut outline;
            draw((registry, document), &operation.selection_set.node, root, lines, repeats);
        }
        outline
    }

    /// Whether an object is asked for by one key in several places, whose answers have to be put together.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.repeats
    }

    /// Puts the nulls where errors say that a field failed, and every field into its place.
    pub fn restore(&self, response: &mut Response) {
        let mut nulls: Vec<&[PathSegment]> = Vec::new();
        for error in &response.errors {
            // What was nulled for one error stays null, whatever else failed in it.
            if !error.path.is_empty() && !nulls.iter().any(|null| error.path.starts_with(null)) {
                let mut left = 0;
                fail(&mut response.data, "", &self.lines, &error.path, &mut left);
                nulls.push(&error.path[..error.path.len() - left]);
            }
        }
        arrange(&mut response.data, &self.lines);
    }
}

fn draw(
    known: (&Registry, &ExecutableDocument),
    set: &SelectionSet,
    parent: &str,
    lines: &mut Vec<Line>,
    repeats: &mut bool,
) {
    let (registry, document) = known;
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => {
                let field = &field.node;
                let key = &field.response_key().node;
                let same = lines.iter().position(|line| line.key == *key);
                *repeats |= same.is_some() && !field.selection_set.node.items.is_empty();
                let index = same.unwrap_or_else(|| {
                    let parent = registry.types.get(parent);
                    let ty = parent.and_then(|parent| parent.field_by_name(&field.name.node));
                    let ty = ty.map_or_else(String::new, |field| field.ty.clone());
                    lines.push(Line { key: key.clone(), ty, below: Vec::new() });
                    lines.len() - 1
                });
                let Line { ty, below, .. } = &mut lines[index];
                draw(known, &field.selection_set.node, MetaTypeName::concrete_typename(ty), below, repeats);
            }
            Selection::InlineFragment(fragment) => {
                let condition = fragment.node.type_condition.as_ref();
                let parent = condition.map_or(parent, |condition| condition.node.on.node.as_str());
                draw(known, &fragment.node.selection_set.node, parent, lines, repeats);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let parent = fragment.node.type_condition.node.on.node.as_str();
                    draw(known, &fragment.node.selection_set.node, parent, lines, repeats);
                }
            }
        }
    }
}

/// Nulls what failed at `path` below `value`, and what cannot be without it. `left` becomes how much of the path is
/// below the null. Says whether the parent cannot be without this value.
fn fail(value: &mut Value, ty: &str, lines: &[Line], path: &[PathSegment], left: &mut usize) -> bool {
    let nullable = ty.strip_suffix('!').unwrap_or(ty);
    let failed = match path.split_first() {
        // A field may have answered and complained.
        None => *value == Value::Null,
        Some((PathSegment::Index(index), rest)) => match value {
            Value::List(items) => {
                let ty = nullable.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')).unwrap_or_default();
                items.get_mut(*index).is_some_and(|item| fail(item, ty, lines, rest, left))
            }
            _ => *value == Value::Null,
        },
        Some((PathSegment::Field(key), rest)) => {
            // The library answers null for an object of which every field failed.
            if *value == Value::Null {
                *value = Value::Object(IndexMap::new());
            }
            match (&mut *value, lines.iter().find(|line| line.key.as_str() == key)) {
                (Value::Object(fields), Some(line)) => {
                    let field = fields.entry(line.key.clone()).or_default();
                    fail(field, &line.ty, &line.below, rest, left)
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

fn arrange(value: &mut Value, lines: &[Line]) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| arrange(item, lines)),
        Value::Object(fields) => {
            let mut rest = lines.iter();
            if !fields.keys().all(|key| rest.any(|line| line.key == *key)) {
                fields.sort_by_cached_key(|key, _| lines.iter().position(|line| line.key == *key));
            }
            let mut rest = lines.iter();
            for (key, value) in fields {
                if let Some(line) = rest.find(|line| line.key == *key)
                    && !line.below.is_empty()
                {
                    arrange(value, &line.below);
                }
            }
        }
        _ => {}
    }
}
