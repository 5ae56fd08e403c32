//! Measures a parsed document with its fragments spread, visiting each fragment once.
//!
//! async-graphql's own checks visit a fragment at every spread, in exponential time, before they apply any limit. This
//! walk bounds their work, so it must run first.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentSpread, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value};

use crate::{config::graphql::Graphql, domain::ErrorCode, engine::RequestError};

/// Fields that check a secret. An operation may select only one, so that limits on requests also limit attempts.
const AUTHENTICATION: [&str; 6] =
    ["register", "login", "refreshSession", "changePassword", "resetPassword", "finishPasskeyLogin"];

/// Lists of introspection that lead back to types, as graphql-js counts them against circular introspection.
const INTROSPECTION_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// Maximum nesting of selection sets in async-graphql, fragments included. The walk checks it only to return an error
/// with a code.
const MAX_NESTED_SETS: usize = 32;

/// Facts that later steps need about a document within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether the document has introspection fields.
    pub introspects: bool,
    /// Whether a list or an object contains a variable. Such a literal can be checked only with its variables.
    pub mixes_variables: bool,
    /// Whether directives may exclude parts of the document.
    pub has_directives: bool,
}

/// Measures a document against the limits.
pub(super) fn check(document: &ExecutableDocument, limits: &Graphql) -> Result<Shape, RequestError> {
    within("operations", document.operations.iter().len(), limits.max_operations)?;
    within("fragments", document.fragments.len(), limits.max_fragments)?;
    let mut walk = Walk { document, reaches: HashMap::new(), repeats: 0, directives: 0, mixes_variables: false };
    let mut whole = Reach::default();
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        walk.directives(&operation.directives);
        for variable in &operation.variable_definitions {
            walk.directives(&variable.node.directives);
        }
        let reach = walk.set(&operation.selection_set.node)?;
        within("root fields in an operation", reach.fields, limits.max_root_fields)?;
        within("authentication fields in an operation", reach.authentications, 1)?;
        // async-graphql streams only fields of the operation itself. A field in a fragment would end the stream
        // silently.
        if operation.ty == OperationType::Subscription
            && !matches!(operation.selection_set.node.items.as_slice(), [Positioned { node: Selection::Field(_), .. }])
        {
            let message = "A subscription must have exactly one root field, outside of fragments.";
            return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, message).at(operation.selection_set.pos));
        }
        whole = whole.beside(reach);
    }
    // Validation checks unused fragments too.
    for (name, fragment) in &document.fragments {
        walk.directives(&fragment.node.directives);
        walk.fragment(name)?;
    }
    within("aliases and repeated fields", walk.repeats, limits.max_aliases)?;
    within("directives", walk.directives, limits.max_directives)?;
    within("fields and fragments when spread", whole.measure.nodes, limits.max_nodes)?;
    within("levels of fields", whole.measure.depth, limits.max_depth)?;
    within("nested selection sets", whole.nesting, MAX_NESTED_SETS)?;
    within("fields of introspection", whole.introspection.nodes, limits.max_nodes)?;
    within("levels of introspection", whole.introspection.depth, limits.max_introspection_depth)?;
    within("nested lists of introspection", whole.introspection.lists, limits.max_introspection_lists)?;
    let (introspects, mixes_variables) = (whole.introspection.nodes > 0, walk.mixes_variables);
    Ok(Shape { introspects, mixes_variables, has_directives: walk.directives > 0 })
}

fn within(what: &str, seen: usize, limit: usize) -> Result<(), RequestError> {
    if seen > limit { Err(RequestError::over(what, seen, limit)) } else { Ok(()) }
}

/// Counts of API fields or of introspection fields.
#[derive(Debug, Clone, Copy, Default)]
struct Measure {
    nodes: usize,
    depth: usize,
    lists: usize,
}

/// Totals of a selection set.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    /// Counts of API fields.
    measure: Measure,
    /// Counts of introspection fields.
    introspection: Measure,
    /// Depth of nested selection sets.
    nesting: usize,
    /// Number of direct fields, including those of fragments.
    fields: usize,
    /// Number of direct fields that authenticate.
    authentications: usize,
}

impl Measure {
    fn beside(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            depth: self.depth.max(other.depth),
            lists: self.lists.max(other.lists),
        }
    }
}

impl Reach {
    fn beside(self, other: Self) -> Self {
        Self {
            measure: self.measure.beside(other.measure),
            introspection: self.introspection.beside(other.introspection),
            nesting: self.nesting.max(other.nesting),
            fields: self.fields.saturating_add(other.fields),
            authentications: self.authentications.saturating_add(other.authentications),
        }
    }

    /// Adds the fragment that spreads this set.
    fn spread(mut self) -> Self {
        self.measure.nodes = self.measure.nodes.saturating_add(1);
        self.nesting += 1;
        self
    }

    /// Returns the totals of the field that has this selection set.
    fn field(self, field: &Field) -> Self {
        let name = field.name.node.as_str();
        let measure = Measure {
            nodes: self.measure.nodes.saturating_add(1),
            depth: self.measure.depth + 1,
            lists: self.measure.lists + usize::from(INTROSPECTION_LISTS.contains(&name)),
        };
        let (measure, introspection) = if is_introspection(name) {
            (Measure::default(), self.introspection.beside(measure))
        } else {
            (measure, self.introspection)
        };
        Self {
            measure,
            introspection,
            nesting: self.nesting + usize::from(!field.selection_set.node.items.is_empty()),
            fields: 1,
            authentications: usize::from(AUTHENTICATION.contains(&name)),
        }
    }
}

/// Whether a root field of this name reads the schema.
pub(super) fn is_introspection(field: &str) -> bool {
    matches!(field, "__schema" | "__type")
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    /// Totals by fragment. `None` marks a fragment that is being measured, whose second visit is a cycle.
    reaches: HashMap<&'a str, Option<Reach>>,
    repeats: usize,
    directives: usize,
    mixes_variables: bool,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet) -> Result<Reach, RequestError> {
        let mut whole = Reach::default();
        let mut keys = HashSet::with_capacity(set.items.len());
        for selection in &set.items {
            self.directives(selection.node.directives());
            let reach = match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    // A repeated field runs again, as an alias does.
                    let is_new = keys.insert(field.response_key().node.as_str());
                    self.repeats += usize::from(field.alias.is_some() || !is_new);
                    for (_, value) in &field.arguments {
                        self.literal(|count| value.node.clone().into_const_with(|_| count()));
                    }
                    self.set(&field.selection_set.node)?.field(field)
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node)?.spread(),
                Selection::FragmentSpread(spread) => self.spread(spread)?.spread(),
            };
            whole = whole.beside(reach);
        }
        Ok(whole)
    }

    fn spread(&mut self, spread: &'a Positioned<FragmentSpread>) -> Result<Reach, RequestError> {
        self.fragment(&spread.node.fragment_name.node)
            .map_err(|error| if error.locations.is_empty() { error.at(spread.pos) } else { error })
    }

    fn fragment(&mut self, name: &'a Name) -> Result<Reach, RequestError> {
        match self.reaches.get(name.as_str()) {
            Some(Some(reach)) => return Ok(*reach),
            Some(None) => {
                return Err(RequestError::new(
                    ErrorCode::GraphqlValidationFailed,
                    "A fragment must not spread itself.",
                ));
            }
            None => {}
        }
        // Validation reports a fragment that does not exist.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Reach::default()) };
        self.reaches.insert(name, None);
        let reach = self.set(&fragment.node.selection_set.node)?;
        self.reaches.insert(name, Some(reach));
        Ok(reach)
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) {
        self.directives += directives.len();
        for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
            self.literal(|count| value.node.clone().into_const_with(|_| count()));
        }
    }

    /// Records whether a list or an object contains variables. `resolve` calls back for each variable.
    fn literal(
        &mut self,
        resolve: impl FnOnce(&mut dyn FnMut() -> Result<Value, Infallible>) -> Result<Value, Infallible>,
    ) {
        let mut variables = 0;
        let Ok(value) = resolve(&mut || {
            variables += 1;
            Ok(Value::Null)
        });
        self.mixes_variables |= variables > 0 && matches!(value, Value::List(_) | Value::Object(_));
    }
}
