//! Compares the lexer with the parser on reproducible random documents. `QV_FUZZ_CASES` sets their number.

use std::env;
use std::time::{Duration, Instant};

use async_graphql::Value;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use crate::config::graphql::{Graphql, Mode};
use crate::engine::{prepare::lexer, prepare::tests::on_small_stack, tests::limits};

/// Maximum parse time of a document that the lexer accepts. A debug build is ten times slower.
const PATIENCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });

/// Pieces of text that are hard for a lexer.
const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "{",
    "[",
    "(",
    "\"",
    "\"\"\"",
    "\\\"\"\"",
    "\\\"",
    "\\",
    "\\\\",
    "\\u00e9",
    "#",
    "\n",
    "\r",
    "\r\n",
    ",",
    " ",
    "\t",
    "\u{feff}",
    "é",
    "a",
    "on",
    "fragment F on T",
    "query",
    "mutation",
    "...",
    "..",
    "$v",
    "@d",
    ":",
    "=",
    "!",
    "0",
    "-1",
    "1.5e-3",
    "00",
    "true",
    "null",
    "_x9",
];

/// Random numbers that are reproducible from a seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    fn soup(&mut self) -> String {
        let length = self.below(400);
        (0..length).map(|_| self.pick(&PIECES)).collect()
    }

    /// Returns a document that follows the grammar, nested at random.
    fn document(&mut self) -> String {
        let variables = if self.below(3) == 0 { format!("($v: [[Int!]] = {})", self.value(8)) } else { String::new() };
        let set = self.set(8);
        format!("query A{variables} {}{set} fragment F on T {{ a }}", self.directive())
    }

    fn set(&mut self, depth: usize) -> String {
        let count = 1 + self.below(3);
        let items: Vec<_> = (0..count).map(|_| self.selection(depth)).collect();
        format!("{{{}}}", items.join(self.pick(&[" ", ",", "\n", " # } \" {\n", "\u{feff}"])))
    }

    fn selection(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 2 } else { 6 }) {
            0 => "a".to_owned(),
            1 => format!("...F{}", self.directive()),
            2 => format!("... on T{}{}", self.directive(), self.set(depth - 1)),
            3 => format!("b: a(x: {}){}", self.value(depth), self.directive()),
            _ => format!("a{}{}", self.directive(), self.set(depth - 1)),
        }
    }

    fn directive(&mut self) -> String {
        if self.below(4) == 0 { format!(" @d(y: {}) ", self.value(4)) } else { String::new() }
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 8 }) {
            0 => self.pick(&["1", "-0.5e3", "null", "E", "00"]).to_owned(),
            1 => self.pick(&[r#""[{(""#, r#""""#, r#""\"[\\""#, r##""# [""##]).to_owned(),
            2 => self
                .pick(&[r#""""[ " "" [""""#, r#""""""""#, r#""""\"""[""""#, r#""""[\""""#, "\"\"\"\n#[\"\"\""])
                .to_owned(),
            3 => "$v".to_owned(),
            4 | 5 => format!("[{}]", self.values(depth).join(self.pick(&["", " ", ",", "#]\n"]))),
            _ => {
                let fields: Vec<_> = self.values(depth).into_iter().map(|value| format!("k:{value}")).collect();
                format!("{{{}}}", fields.join(" "))
            }
        }
    }

    fn values(&mut self, depth: usize) -> Vec<String> {
        (0..=self.below(2)).map(|_| self.value(depth - 1)).collect()
    }

    /// Applies a few edits: inserts pieces, or removes or repeats runs of characters.
    fn mutate(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..self.below(5) {
            let at = self.below(characters.len() + 1);
            let end = characters.len().min(at + self.below(12));
            match self.below(3) {
                0 => drop(characters.splice(at..at, self.pick(&PIECES).chars()).collect::<Vec<_>>()),
                1 => drop(characters.drain(at..end)),
                _ => {
                    let again = characters[at..end].repeat(1 + self.below(3));
                    drop(characters.splice(at..at, again).collect::<Vec<_>>());
                }
            }
        }
        characters.into_iter().collect()
    }
}

#[test]
fn the_guard_sees_every_bracket_that_the_parser_recurses_over() {
    let cases = env::var("QV_FUZZ_CASES").map_or(6_000, |cases| cases.parse().unwrap());
    on_small_stack(|| {
        let mut random = Random(0x5eed);
        let (mut refused, mut unreadable, mut read) = (0, 0, 0);
        for case in 0..cases {
            let text = match case % 3 {
                0 => random.soup(),
                1 => random.document(),
                _ => {
                    let document = random.document();
                    random.mutate(&document)
                }
            };
            match hold(&text) {
                Verdict::Refused => refused += 1,
                Verdict::Unreadable => unreadable += 1,
                Verdict::Read => read += 1,
            }
        }
        // Checks that the generated documents reach each verdict often enough.
        let enough = refused > cases / 50 && unreadable > cases / 50 && read > cases / 5;
        assert!(enough, "of {cases}: {refused} refused, {unreadable} unreadable, {read} read");
    });
}

enum Verdict {
    Refused,
    Unreadable,
    Read,
}

fn hold(text: &str) -> Verdict {
    if lexer::check(text, &limits(Mode::Open)).is_err() {
        return Verdict::Refused;
    }
    // Retries a slow parse, because the machine may have been busy.
    let fastest = (0..5).find_map(|_| {
        let begin = Instant::now();
        let outcome = parse_query(text);
        (begin.elapsed() < PATIENCE).then_some(outcome)
    });
    let Ok(document) = fastest.unwrap_or_else(|| panic!("the parser took too long for {text:?}")) else {
        return Verdict::Unreadable;
    };
    let depth = depth_of(&document);
    let tighter = Graphql { max_bracket_depth: depth - 1, ..limits(Mode::Open) };
    assert!(lexer::check(text, &tighter).is_err(), "the parser nests {depth} deep, unseen, in {text:?}");
    Verdict::Read
}

/// Returns the depth of brackets in a parsed document.
fn depth_of(document: &ExecutableDocument) -> usize {
    let operations = document.operations.iter().map(|(_, operation)| {
        let operation = &operation.node;
        let defaults = operation.variable_definitions.iter().map(|variable| {
            let types = variable.node.var_type.to_string().matches('[').count();
            1 + types.max(variable.node.default_value.as_ref().map_or(0, |value| depth_of_value(&value.node)))
        });
        defaults.max().unwrap_or_default().max(depth_of_set(&operation.selection_set.node))
    });
    let fragments = document.fragments.values().map(|fragment| depth_of_set(&fragment.node.selection_set.node));
    operations.chain(fragments).max().unwrap_or_default()
}

fn depth_of_set(set: &SelectionSet) -> usize {
    let selections = set.items.iter().map(|selection| {
        let directives = selection.node.directives().iter().flat_map(|directive| &directive.node.arguments);
        let mut depth = directives
            .map(|(_, value)| {
                1 + depth_of_value(&value.node.clone().into_const_with(|_| Ok::<_, ()>(Value::Null)).unwrap())
            })
            .max()
            .unwrap_or_default();
        match &selection.node {
            Selection::Field(field) => {
                let arguments = field.node.arguments.iter().map(|(_, value)| {
                    1 + depth_of_value(&value.node.clone().into_const_with(|_| Ok::<_, ()>(Value::Null)).unwrap())
                });
                depth = depth.max(arguments.max().unwrap_or_default());
                let set = &field.node.selection_set.node;
                if set.items.is_empty() { depth } else { depth.max(depth_of_set(set)) }
            }
            Selection::InlineFragment(fragment) => depth.max(depth_of_set(&fragment.node.selection_set.node)),
            Selection::FragmentSpread(_) => depth,
        }
    });
    1 + selections.max().unwrap_or_default()
}

fn depth_of_value(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth_of_value).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth_of_value).max().unwrap_or_default(),
        _ => 0,
    }
}
