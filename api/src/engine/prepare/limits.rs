//! The walk after the parser: what a document amounts to once its fragments are spread, each measured once.
//!
//! The library's own checks follow every spread again and again, in exponential time, before any limit of its own.
//! This walk bounds what they will meet, so it has to come first.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentSpread, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value};

use crate::{config::graphql::Graphql, domain::ErrorCode, engine::RequestError};

/// Fields that try a secret: one an operation, so that a limit by request is a limit by attempt.
const AUTHENTICATION: [&str; 6] =
    ["register", "login", "refreshSession", "changePassword", "resetPassword", "finishPasskeyLogin"];

/// Lists of introspection that lead back to types, as graphql-js counts them against circular introspection.
const INTROSPECTION_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// How deep async-graphql lets selection sets nest, fragments included. It is not a setting of ours: the walk only
/// says it first, with a code.
const MAX_NESTED_SETS: usize = 32;

/// What later steps need to know of a document that is within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether it reads the schema.
    pub introspects: bool,
    /// Whether a variable stands inside of a list or an object: such a literal can be checked only with its variables.
    pub mixes_variables: bool,
    /// Whether parts of it may be left out.
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
        // The library streams only fields that stand in the subscription itself, and would end silently otherwise.
        if operation.ty == OperationType::Subscription
            && !matches!(operation.selection_set.node.items.as_slice(), [Positioned { node: Selection::Field(_), .. }])
        {
            let message = "A subscription has exactly one root field, written in the operation itself.";
            return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, message).at(operation.selection_set.pos));
        }
        whole = whole.beside(reach);
    }
    // Fragments that nothing spreads are validated all the same.
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

/// What is counted of fields alike, of the API or of introspection.
#[derive(Debug, Clone, Copy, Default)]
struct Measure {
    nodes: usize,
    depth: usize,
    lists: usize,
}

/// What a selection set amounts to.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    /// What it asks of the API.
    measure: Measure,
    /// What it asks of the schema.
    introspection: Measure,
    /// How deep selection sets nest in it.
    nesting: usize,
    /// Its own fields, those of its fragments included.
    fields: usize,
    /// Those of them that authenticate.
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

    /// The same set, spread by a fragment.
    fn spread(mut self) -> Self {
        self.measure.nodes = self.measure.nodes.saturating_add(1);
        self.nesting += 1;
        self
    }

    /// The field that has this set.
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
    /// A fragment that is being measured holds `None`: meeting it again is a cycle.
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
                    // A plain copy of a field runs again just as an alias does.
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
                return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, "A fragment spreads itself."));
            }
            None => {}
        }
        // A fragment that does not exist is for validation to report.
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

    /// Notes a literal that holds variables; `resolve` calls back for each of them.
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
