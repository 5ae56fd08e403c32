//! The cost of a document before execution: the text guard, known documents, and attacks until they are rejected.

use std::hint::black_box;
use std::time::{Duration, Instant};

use quantumvault::engine::{self, GraphqlRequest};
use quantumvault::{config, graphql};
use serde_json::json;

pub fn measure() {
    let settings = config::load([]).expect("the defaults").graphql;
    let engine = graphql::engine(settings.clone(), false).expect("the schema is served");
    let wide = config::Graphql { max_tokens: usize::MAX, ..settings.clone() };
    for piece in ["a ", "{}", "name_of_a_field\n", "\"a string \\\" of text\" ", "# a comment\n", "-12.5e3,"] {
        let text = piece.repeat(settings.max_document_bytes / piece.len());
        println!("guard, 16 KiB of {piece:?}: {:.1?}", fastest(|| engine::check_text(&text, &wide).is_ok()));
    }
    let known =
        call("query V($with: ID!) { viewer { conversation(with: $with) { messages(first: 50) { nodes { id } } } } }");
    println!("prepare, known document: {:.1?}", fastest(|| engine.prepare(known.clone()).is_ok()));
    for (what, text) in attacks() {
        assert!(engine.prepare(call(&text)).is_err(), "{what} is rejected");
        println!("attack, {what}: {:.1?}", fastest(|| engine.prepare(call(&text)).is_err()));
    }
}

fn attacks() -> [(&'static str, String); 6] {
    let fan =
        (0..26).map(|n| format!(" fragment F{n} on Viewer {{ ...F{} ...F{} }}", n + 1, n + 1)).collect::<Vec<_>>();
    let unknown = (0..300).map(|n| format!(" f{n}")).collect::<Vec<_>>();
    [
        ("60,000 brackets", format!("{{ a(b: {} }}", "[".repeat(60_000))),
        ("16,000 brackets", format!("{{ a(b: {} }}", "[".repeat(16_000))),
        (
            "fan-out of fragments",
            format!("{{ viewer {{ ...F0 }} }}{} fragment F26 on Viewer {{ email }}", fan.concat()),
        ),
        (
            "cycle of fragments",
            "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }".to_owned(),
        ),
        ("400 copies of a field", format!("{{ viewer {{ {} }} }}", "email ".repeat(400))),
        ("300 unknown fields", format!("{{ viewer {{ {} }} }}", unknown.concat())),
    ]
}

fn call(text: &str) -> GraphqlRequest {
    let variables = json!({ "with": "user_00000000000000000000000000" });
    GraphqlRequest::from_json(json!({ "query": text, "variables": variables })).expect("a request")
}

/// Returns the fastest of many runs, the time of the code when the machine does nothing else.
fn fastest<T>(mut work: impl FnMut() -> T) -> Duration {
    let run = |_| {
        let begin = Instant::now();
        black_box(work());
        begin.elapsed()
    };
    (0..500).map(run).min().expect("some runs")
}
