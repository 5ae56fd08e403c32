//! What the steps before execution cost; a release build prints and holds the figures.

use std::time::{Duration, Instant};

use async_graphql::{Response, Value, Variables, parser::parse_query, value};
use serde_json::json;

use super::{
    super::{cost, guard, variables, walk},
    call, documents, limits, on_small_stack, prepare,
};
use crate::config::graphql::{Graphql, Mode};

/// The fastest of many runs: what the code takes when the machine does nothing else.
fn fastest<T>(mut work: impl FnMut() -> T) -> Duration {
    let run = |_| {
        let begin = Instant::now();
        std::hint::black_box(work());
        begin.elapsed()
    };
    (0..if cfg!(debug_assertions) { 10 } else { 300 }).map(run).min().unwrap()
}

/// The answer to a page of a hundred, as execution hands it over.
fn page() -> Response {
    let edge = value!({ "cursor": "c", "node": { "id": "user_1", "username": "ada", "friends": { "nodes": [{ "id": "a" }] } } });
    let edges = Value::List(vec![edge; 100]);
    Response::new(value!({ "viewer": { "id": "user_1", "username": "ada", "friends": { "edges": edges } } }))
}

/// Debug builds are slower by a factor that is no business of the figures.
fn hold(what: &str, took: Duration, bound_micros: u64) {
    println!("{what}: {took:?}");
    let factor = if cfg!(debug_assertions) { 40 } else { 1 };
    assert!(took < Duration::from_micros(bound_micros * factor), "{what} took {took:?}");
}

#[test]
fn the_guard_takes_a_document_of_the_largest_size_in_100_microseconds() {
    let settings = Graphql { max_tokens: usize::MAX, ..limits(Mode::Open) };
    for piece in [
        "a ",
        "{}",
        "name_of_a_field\n",
        "\"a string \\\" of text\" ",
        "# a comment\n",
        "\"\"\"block \\\"\"\" \"\"\"",
        "-12.5e3,",
    ] {
        let text = piece.repeat(settings.max_document_bytes / piece.len());
        hold(&format!("guard, 16 KiB of {piece:?}"), fastest(|| guard::check(&text, &settings).unwrap()), 100);
    }
}

#[test]
fn the_steps_of_a_common_document() {
    let text = "query Feed($first: Int = 50) { viewer { id username friends(first: $first) { edges { cursor node { ...U } } } } } \
                fragment U on User { id username friends(last: 3) { nodes { id } } }";
    let settings = limits(Mode::Open);
    let ast = parse_query(text).unwrap();
    let values = Variables::from_json(json!({ "first": 20 }));
    let (_, operation) = ast.operations.iter().next().unwrap();
    let documents = documents(settings.clone());
    let call = call(text, json!({ "first": 20 }));
    hold("guard", fastest(|| guard::check(text, &settings).unwrap()), 5);
    println!("parse (the library's): {:?}", fastest(|| parse_query(text).unwrap()));
    hold("walk", fastest(|| walk::check(&ast, &settings).unwrap()), 20);
    hold("cost", fastest(|| cost::of(&ast, &operation.node, &values, &settings)), 10);
    let registry = documents.judge.registry();
    hold("variables", fastest(|| variables::check(registry, &operation.node, &values).unwrap()), 5);
    let validate = fastest(|| documents.judge.validate(&ast, None, Variables::default()).unwrap());
    println!("validation (the library's): {validate:?}");
    println!("tree copied: {:?}", fastest(|| ast.clone()));
    let outline = documents.prepare(call.clone()).unwrap().outline;
    let mut response = page();
    hold("outline restored, 800 fields", fastest(|| outline.restore(&mut response)), 100);
    println!("answer written, 800 fields: {:?}", fastest(|| serde_json::to_vec(&response).unwrap()));
    hold("prepare, known", fastest(|| documents.prepare(call.clone()).unwrap()), 50);
}

#[test]
fn attacks_are_refused_within_a_millisecond() {
    let fan = (0..26).fold(String::from("{ viewer { ...F0 } }"), |all, level| {
        let next = level + 1;
        format!("{all} fragment F{level} on User {{ ...F{next} ...F{next} }}")
    });
    // What passes the guard and the walk and gives the library's rules the most to find: conflicts between fragments,
    // looked for again from each of the sets around them.
    let fragments = (0..35)
        .fold(String::new(), |all, index| format!("{all} fragment F{index} on User {{ f(a: {index}) g(a: {index}) }}"));
    let spreads = (0..35).fold(String::new(), |all, index| format!("{all} ...F{index}"));
    let conflicts = format!("{{ viewer {{ {} {spreads} {} }} }} {fragments}", "... {".repeat(28), "}".repeat(28));
    let documents = documents(limits(Mode::Open));
    for (what, document) in [
        ("60,000 brackets", format!("{{ a(b: {} }}", "[".repeat(60_000))),
        ("16,000 brackets", format!("{{ a(b: {} }}", "[".repeat(16_000))),
        ("fan-out of fragments", format!("{fan} fragment F26 on User {{ id }}")),
        ("cycle", "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }".to_owned()),
        ("400 copies", format!("{{ viewer {{ {} }} }}", "id ".repeat(400))),
        (
            "300 unknown fields",
            format!("{{ viewer {{ {} }} }}", (0..300).fold(String::new(), |all, index| format!("{all} f{index}"))),
        ),
    ] {
        let took = on_small_stack(|| fastest(|| prepare(&documents, &document).unwrap_err()));
        hold(what, took, 1_000);
    }
    let took = on_small_stack(|| fastest(|| prepare(&documents, &conflicts).unwrap_err()));
    hold("conflicts between fragments", took, 10_000);
}
