//! Operations over a schema, generated from its types and a seed.

use std::fmt::Write as _;

use async_graphql::registry::{MetaField, MetaInputValue, MetaType, MetaTypeName, Registry};
use serde_json::{Map, Value, json};

/// Fields whose values differ between two executions.
const UNSTEADY: [&str; 2] = ["uptimeSeconds", "latencyMs"];

/// Mutations that fail or that change nothing when they run again. The generator adds their selections.
const MUTATIONS: [&str; 5] = [
    "sendMessage(input: { recipientId: $1, encryptedContent: \"AQ==\", iv: \"AQEBAQEBAQEBAQEB\", clientMessageId: \"again\" })",
    "markRead(input: { conversationId: $1, upToMessageId: $2 })",
    "deleteMessages(input: { ids: [$1, \"nonsense\"] })",
    "revokeSession(input: { id: \"nonsense\" })",
    "updatePublicKeys(input: { ecc: \"AQ==\", pqc: \"AQ==\" })",
];

/// Key of an object that represents a variable within a literal.
const VARIABLE: &str = "$variable";

/// Generator of operations.
pub(super) struct Generator<'a> {
    seed: u64,
    registry: &'a Registry,
    ids: &'a [String],
    cursors: &'a [String],
    /// Named fragments of the document, and the types that they are on.
    fragments: Vec<(String, &'a str)>,
    /// Definitions and values of the operation's variables.
    definitions: Vec<String>,
    variables: Map<String, Value>,
    /// Whether a value is a literal of the document, which may contain variables.
    is_literal: bool,
}

impl<'a> Generator<'a> {
    pub(super) fn new(seed: u64, registry: &'a Registry, ids: &'a [String], cursors: &'a [String]) -> Self {
        let (fragments, definitions, variables) = (Vec::new(), Vec::new(), Map::new());
        Self { seed, registry, ids, cursors, fragments, definitions, variables, is_literal: true }
    }

    /// Generates an operation and its variables.
    pub(super) fn operation(&mut self) -> (String, Value) {
        self.fragments.clear();
        self.definitions.clear();
        self.variables.clear();
        let (kind, selection) = match self.below(10) {
            0 => ("subscription", self.subscription()),
            1 | 2 => ("mutation", self.mutation()),
            _ => ("query", self.selection_set(&self.registry.query_type, 4)),
        };
        let definitions = match self.definitions.join(", ") {
            none if none.is_empty() => String::new(),
            some => format!("({some})"),
        };
        let mut document = format!("{kind} Q{definitions} {selection}");
        for (text, _) in &self.fragments {
            let _ = write!(document, " {text}");
        }
        (document, Value::Object(std::mem::take(&mut self.variables)))
    }

    fn subscription(&mut self) -> String {
        let after = match self.below(3) {
            0 => String::new(),
            _ => format!("(after: {})", json!(self.pick(self.cursors))),
        };
        let below = self.selection_set("MessageFeedEvent", 3);
        format!("{{ {}messageFeed{after} {below} }}", ["", "feed: "][self.below(2)])
    }

    fn mutation(&mut self) -> String {
        let mut fields = String::new();
        for number in 0..=self.below(2) {
            let text = MUTATIONS[self.below(MUTATIONS.len())];
            let text = text.replace("$1", &json!(self.pick(self.ids)).to_string());
            let text = text.replace("$2", &json!(self.pick(self.ids)).to_string());
            let (name, _) = text.split_once('(').unwrap_or((&text, ""));
            let ty =
                self.field(self.registry.mutation_type.as_deref().unwrap_or_default(), name).map(|field| &field.ty);
            let below = ty.map_or_else(String::new, |ty| self.selection_set(MetaTypeName::concrete_typename(ty), 3));
            let _ = write!(fields, "m{number}: {text} {below} ");
        }
        format!("{{ {fields}}}")
    }

    /// Generates one to five selections of a type. One of them is always included, because the library returns null
    /// for an empty object.
    fn selection_set(&mut self, ty: &'a str, depth: usize) -> String {
        let (mut out, mut is_included) = (String::from("{ "), false);
        for _ in 0..=self.below(4) {
            let kind = self.below(12);
            let field = if kind > 3 || (kind > 0 && depth == 0) { self.choose(ty, depth) } else { None };
            if field.is_none() && (kind > 3 || (kind > 0 && depth == 0)) {
                continue;
            }
            let directive = self.directive();
            // A fragment on a type that an object is not selects nothing of it.
            is_included |= directive.is_empty() && (field.is_some() || kind != 1);
            match (field, kind) {
                (Some((name, field)), _) => out.push_str(&self.selection(name, field, depth, &directive)),
                (None, 0) => {
                    let _ = write!(out, "__typename {directive} ");
                }
                (None, 1) => {
                    let condition = self.condition(ty);
                    let below = self.selection_set(condition, depth - 1);
                    let _ = write!(out, "... on {condition} {directive} {below} ");
                }
                (None, 2) => {
                    let below = self.selection_set(ty, depth - 1);
                    let _ = write!(out, "... {directive} {below} ");
                }
                (None, _) => {
                    let name = self.fragment(ty, depth - 1);
                    let _ = write!(out, "...{name} {directive} ");
                }
            }
        }
        out + if is_included { "}" } else { "__typename }" }
    }

    /// Chooses a field of a type that can be compared and is not nested too deep.
    fn choose(&mut self, ty: &str, depth: usize) -> Option<(&'a str, &'a MetaField)> {
        let fields = self.registry.types.get(ty)?.fields()?;
        let place = self.below(fields.len());
        let (name, field) = fields.get_index(place)?;
        let is_compared = !UNSTEADY.contains(&name.as_str()) && (depth > 0 || self.is_leaf(&field.ty));
        is_compared.then_some((name, field))
    }

    /// Generates a field. Sometimes it occurs twice, with different selections.
    fn selection(&mut self, name: &str, field: &'a MetaField, depth: usize, directive: &str) -> String {
        let is_leaf = self.is_leaf(&field.ty);
        let has_alias = self.below(3) == 0 || !field.args.is_empty();
        let alias = if has_alias { format!("f{}: ", self.below(1000)) } else { String::new() };
        let field_text = format!("{alias}{name}{} {directive}", self.arguments(field));
        if is_leaf {
            return format!("{field_text} ");
        }
        let below = MetaTypeName::concrete_typename(&field.ty);
        let mut out = format!("{field_text} {} ", self.selection_set(below, depth - 1));
        if self.below(4) == 0 {
            let _ = write!(out, "{field_text} {} ", self.selection_set(below, depth - 1));
        }
        out
    }

    fn fragment(&mut self, ty: &'a str, depth: usize) -> String {
        let known = self.fragments.iter().position(|(_, on)| *on == ty);
        if let Some(place) = known
            && self.below(2) == 0
        {
            return format!("F{place}");
        }
        let below = self.selection_set(ty, depth.min(2));
        let name = format!("F{}", self.fragments.len());
        self.fragments.push((format!("fragment {name} on {ty} {below}"), ty));
        name
    }

    /// Returns a type that objects of `ty` can have.
    fn condition(&mut self, ty: &'a str) -> &'a str {
        match self.registry.types.get(ty) {
            Some(MetaType::Interface { possible_types, .. }) => {
                let place = self.below(possible_types.len());
                possible_types.get_index(place).map_or(ty, String::as_str)
            }
            _ => ty,
        }
    }

    fn directive(&mut self) -> String {
        let name = ["include", "skip"][self.below(2)];
        match self.below(16) {
            0 => format!("@{name}(if: {})", self.below(2) == 0),
            1 => {
                let value = self.below(2) == 0;
                let variable = self.variable("Boolean!", &value.to_string(), json!(value));
                format!("@{name}(if: {variable})")
            }
            _ => String::new(),
        }
    }

    fn arguments(&mut self, field: &'a MetaField) -> String {
        let mut texts = Vec::new();
        for (name, argument) in &field.args {
            if argument.ty.ends_with('!') || self.below(3) == 0 {
                self.is_literal = self.below(4) != 0;
                let value = self.value(name, argument);
                let text = literal(&value);
                let text = if self.is_literal { text } else { self.variable(&argument.ty, &text, value) };
                texts.push(format!("{name}: {text}"));
            }
        }
        if texts.is_empty() { String::new() } else { format!("({})", texts.join(", ")) }
    }

    /// Defines a variable that is sent, has a default, or both. A variable with a default may be nullable and sent as
    /// null. A nullable variable may be omitted.
    fn variable(&mut self, ty: &str, text: &str, value: Value) -> String {
        let name = format!("v{}", self.definitions.len());
        let has_default = self.below(2) == 0 && value != Value::Null;
        let (default, ty) = if has_default {
            (format!(" = {text}"), if self.below(3) == 0 { ty.trim_end_matches('!') } else { ty })
        } else {
            (String::new(), ty)
        };
        self.definitions.push(format!("${name}: {ty}{default}"));
        let is_nullable = !ty.ends_with('!');
        match self.below(6) {
            0 if is_nullable => {}
            1 if is_nullable => drop(self.variables.insert(name.clone(), Value::Null)),
            0..3 if has_default => {}
            _ => drop(self.variables.insert(name.clone(), value)),
        }
        format!("${name}")
    }

    fn value(&mut self, name: &str, argument: &'a MetaInputValue) -> Value {
        self.value_of(name, &argument.ty)
    }

    fn value_of(&mut self, name: &str, ty: &'a str) -> Value {
        match MetaTypeName::create(ty) {
            MetaTypeName::NonNull(inner) => loop {
                let value = self.value_of(name, inner);
                if !value.is_null() {
                    break value;
                }
            },
            _ if self.below(12) == 0 => Value::Null,
            MetaTypeName::List(item) => (0..self.below(3)).map(|_| self.value_of(name, item)).collect(),
            MetaTypeName::Named("Int") => json!([-1, 0, 1, 2, 3, 100, 101][self.below(7)]),
            MetaTypeName::Named("ID") => json!(self.pick(self.ids)),
            MetaTypeName::Named("DateTime") => json!(["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"][self.below(2)]),
            MetaTypeName::Named("String") if ["after", "before"].contains(&name) => json!(self.pick(self.cursors)),
            MetaTypeName::Named("String") => json!(["alice", "bob", "", "session.created"][self.below(4)]),
            MetaTypeName::Named("Boolean") => json!(self.below(2) == 0),
            MetaTypeName::Named(name) => match self.registry.types.get(name) {
                Some(MetaType::InputObject { input_fields, oneof, .. }) => {
                    let one = self.below(input_fields.len());
                    let mut fields = Map::new();
                    for (place, (name, field)) in input_fields.iter().enumerate() {
                        if if *oneof { place == one } else { field.ty.ends_with('!') || self.below(3) == 0 } {
                            let value = self.value(name, field);
                            let value = if *oneof && value.is_null() { json!("alice") } else { value };
                            let value = if self.is_literal && self.below(6) == 0 {
                                json!({ VARIABLE: self.variable(&field.ty, &literal(&value), value.clone()) })
                            } else {
                                value
                            };
                            fields.insert(name.clone(), value);
                        }
                    }
                    Value::Object(fields)
                }
                _ => json!(5),
            },
        }
    }

    fn field(&self, ty: &str, name: &str) -> Option<&'a MetaField> {
        self.registry.types.get(ty)?.field_by_name(name)
    }

    fn is_leaf(&self, ty: &str) -> bool {
        let ty = self.registry.types.get(MetaTypeName::concrete_typename(ty));
        matches!(ty, Some(MetaType::Scalar { .. } | MetaType::Enum { .. }))
    }

    fn pick<'p>(&mut self, from: &'p [String]) -> &'p str {
        &from[self.below(from.len())]
    }

    /// Returns a number below `bound`, from a linear congruential generator (Knuth's MMIX).
    fn below(&mut self, bound: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap_or_default() % bound.max(1)
    }
}

/// Returns a value as a literal. Values of enumerations are not supported.
fn literal(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.contains_key(VARIABLE) => {
            fields[VARIABLE].as_str().unwrap_or_default().to_owned()
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", literal(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string(),
    }
}
