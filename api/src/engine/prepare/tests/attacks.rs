//! Tests documents meant to crash or stall the process. Each fails quickly, on a worker's stack.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::config::graphql::{Graphql, Mode};
use crate::domain::ErrorCode::{self, GraphqlParseFailed, GraphqlValidationFailed, TooComplex};
use crate::engine::prepare::tests::{documents, on_small_stack, prepare};
use crate::engine::tests::{call, limits};

/// Returns limits without a maximum size, which would hide the other limits.
fn unlimited_bytes() -> Graphql {
    Graphql { max_document_bytes: usize::MAX, ..limits(Mode::Explore) }
}

/// Asserts that a document fails with this code and message, in a time that suits a busy debug build.
fn assert_refused(settings: Graphql, document: &str, code: ErrorCode, words: &str) {
    let documents = documents(settings);
    on_small_stack(|| {
        let begin = Instant::now();
        let errors = prepare(&documents, document).unwrap_err();
        let elapsed = begin.elapsed();
        assert_eq!(errors[0].code, code, "{errors:?}");
        assert!(errors[0].message.contains(words), "{errors:?}");
        assert!(elapsed < Duration::from_millis(500), "{elapsed:?} for {words}");
    });
}

fn nested(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn t1_literals_nested_deep() {
    for depth in [33, 1_500, 60_000] {
        for (open, close) in [("[", "]"), ("{a:", "}")] {
            let literal = nested(open, "1", close, depth);
            for document in [
                format!("{{ users(first: {literal}) {{ nodes {{ id }} }} }}"),
                format!("query ($a: Int = {literal}) {{ users(first: $a) {{ nodes {{ id }} }} }}"),
                format!("{{ viewer @include(if: {literal}) {{ id }} }}"),
                // Truncated: only the opening brackets.
                format!("{{ users(first: {}", open.repeat(depth)),
            ] {
                assert_refused(unlimited_bytes(), &document, TooComplex, "nested brackets");
            }
        }
    }
    let literal = nested("[", "1", "]", 60_000);
    assert_refused(limits(Mode::Open), &format!("{{ viewer(a: {literal}) }}"), TooComplex, "bytes");
}

#[test]
fn t1_literals_behind_strings_that_do_not_end() {
    let brackets = "[".repeat(5_000);
    for quote in [r#"""""#, r#"""" ""#, r#"" \""#, r#""""\""""#] {
        let document = format!("{{ users(first: [{quote} {brackets}");
        assert_refused(unlimited_bytes(), &document, GraphqlParseFailed, "unterminated string");
    }
    let document = format!("{{ users(first: [\"\"\"\"\"\"\"\" {brackets}");
    assert_refused(unlimited_bytes(), &document, TooComplex, "nested brackets");
}

#[test]
fn t2_selections_and_types_nested_deep() {
    for depth in [33, 60_000] {
        for document in [
            nested("{ viewer ", "{ id }", "}", depth),
            format!("{{ {} }}", nested("... {", " id ", "}", depth)),
            format!("query ($a: {}) {{ viewer {{ id }} }}", nested("[", "Int", "]", depth)),
        ] {
            assert_refused(unlimited_bytes(), &document, TooComplex, "nested brackets");
        }
    }
    assert_refused(limits(Mode::Open), &nested("{ viewer ", "{ id }", "}", 11), TooComplex, "levels of fields");
    let chain = (0..40).fold(String::from("{ viewer { ...F0 } }"), |document, index| {
        format!("{document} fragment F{index} on User {{ ...F{} }}", index + 1)
    });
    let document = format!("{chain} fragment F40 on User {{ id }}");
    assert_refused(limits(Mode::Open), &document, TooComplex, "nested selection sets");
}

#[test]
fn t3_fragments_that_fan_out() {
    for (levels, width) in [(26, 2), (6, 20), (49, 3)] {
        let mut document = String::from("{ viewer { ...F0 } }");
        for level in 0..levels {
            let spreads = format!("...F{} ", level + 1).repeat(width);
            write!(document, " fragment F{level} on User {{ {spreads} }}").unwrap();
        }
        write!(document, " fragment F{levels} on User {{ id }}").unwrap();
        assert_refused(limits(Mode::Open), &document, TooComplex, "when spread");
    }
}

#[test]
fn t4_fragments_that_spread_themselves() {
    for document in [
        "{ viewer { ...A } } fragment A on User { ...A }",
        "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { friends { nodes { ...A } } }",
        "{ viewer { id } } fragment A on User { ... { ...B } } fragment B on User { ...A }",
        "{ ...A } fragment A on Query { ...A }",
    ] {
        assert_refused(limits(Mode::Open), document, GraphqlValidationFailed, "spread itself");
    }
}

#[test]
fn t5_aliases() {
    for (count, words) in [(31, "aliases"), (101, "aliases"), (400, "tokens")] {
        let aliases = |field: &str| (0..count).fold(String::new(), |all, index| format!("{all} a{index}: {field}"));
        for field in ["id", "__typename"] {
            let document = format!("{{ viewer {{ {} }} }}", aliases(field));
            assert_refused(limits(Mode::Open), &document, TooComplex, words);
        }
    }
    let logins = (0..2).fold(String::new(), |all, index| format!("{all} a{index}: login(input: {{login: \"x\"}})"));
    assert_refused(limits(Mode::Open), &format!("mutation {{ {logins} }}"), TooComplex, "authentication fields");
    let document = "mutation { login(input: {login: \"x\"}) ...A } fragment A on Mutation { ... { register } }";
    assert_refused(limits(Mode::Open), document, TooComplex, "authentication fields");
}

#[test]
fn t6_copies_of_a_field() {
    let copies = "viewer { id } ".repeat(21);
    assert_refused(limits(Mode::Open), &format!("{{ {copies} }}"), TooComplex, "root fields");
    let copies = "id ".repeat(500);
    assert_refused(limits(Mode::Open), &format!("{{ viewer {{ {copies} }} }}"), TooComplex, "repeated fields");
}

#[test]
fn t7_directives_wherever_they_stand() {
    let many = "@include(if: true) ".repeat(21);
    for document in [
        format!("{{ viewer {many} {{ id }} }}"),
        format!("query A {many} {{ viewer {{ id }} }}"),
        format!("query ($a: Int {many}) {{ users(first: $a) {{ nodes {{ id }} }} }}"),
        format!("{{ ... {many} {{ viewer {{ id }} }} }}"),
        format!("{{ viewer {{ ...A {many} }} }} fragment A on User {{ id }}"),
        format!("{{ viewer {{ ...A }} }} fragment A on User {many} {{ id }}"),
        format!("{{ viewer {{ id }} }} fragment A on User {many} {{ id }}"),
    ] {
        assert_refused(limits(Mode::Open), &document, TooComplex, "directives");
    }
    let document = format!("{{ viewer {} {{ id }} }}", "@a".repeat(2_000));
    assert_refused(unlimited_bytes(), &document, TooComplex, "tokens");
}

#[test]
fn t8_errors_are_at_most_ten() {
    let bad = (0..300).fold(String::new(), |all, index| format!("{all} bad{index}"));
    let documents = documents(limits(Mode::Open));
    let errors = prepare(&documents, &format!("{{ viewer {{ {bad} }} }}")).unwrap_err();
    assert_eq!(errors.len(), 10);
    assert!(errors.iter().all(|error| error.code == GraphqlValidationFailed), "{errors:?}");
}

#[test]
fn t9_operations_comments_and_names() {
    let operations =
        |count| (0..count).fold(String::new(), |all, index| format!("{all} query A{index} {{ viewer {{ id }} }}"));
    assert_refused(limits(Mode::Open), &operations(11), TooComplex, "operations");
    assert_refused(limits(Mode::Open), &operations(500), TooComplex, "tokens");
    let document = format!("# {}\n{{ viewer {{ id }} }}", "x".repeat(100_000));
    assert_refused(limits(Mode::Open), &document, TooComplex, "bytes");
    let document = format!("{{ {}: viewer {{ id }} }}", "x".repeat(129));
    assert_refused(limits(Mode::Open), &document, TooComplex, "bytes in a name");
}

#[test]
fn t12_introspection_beyond_its_own_limit() {
    let circle = nested("fields { type { ", "name", " } }", 3);
    for (document, words) in [
        (format!("{{ __schema {{ types {{ {circle} }} }} }}"), "nested lists"),
        (
            format!("{{ __type(name: \"User\") {{ {} }} }}", nested("ofType { ", "name", " }", 16)),
            "levels of introspection",
        ),
        (
            "{ __schema { types { ...T } } } fragment T on __Type { fields { type { ...U } } } \
          fragment U on __Type { possibleTypes { interfaces { name } } }"
                .to_owned(),
            "nested lists",
        ),
    ] {
        assert_refused(limits(Mode::Explore), &document, TooComplex, words);
    }
    for document in [
        "{ __schema { types { name } } }",
        "{ viewer { id } ...A } fragment A on Query { __type(name: \"A\") { name } }",
    ] {
        assert_refused(limits(Mode::Open), document, GraphqlValidationFailed, "Introspection is disabled");
    }
}

#[test]
fn t14_pages_beyond_the_largest_are_for_resolvers_to_refuse() {
    let documents = documents(limits(Mode::Open));
    let query = "query ($n: Int) { users(first: $n) { edges { node { id } } } }";
    for (first, cost) in [(i64::from(i32::MAX), 201), (-1, 1), (100, 201), (3, 7)] {
        let prepared = documents.prepare(call(query, serde_json::json!({ "n": first }))).unwrap();
        assert_eq!(prepared.cost, cost, "first: {first}");
    }
}

#[test]
fn t15_pages_of_pages_cost_too_much() {
    for document in [
        "{ users(first: 50) { edges { node { friends(first: 50) { edges { node { id } } } } } } }",
        "{ users(last: 100) { nodes { friends { nodes { id } } } } }",
        "query ($n: Int = 90) { users(first: $n) { nodes { ...F } } } fragment F on User { friends(first: 90) { nodes { id } } }",
        "{ viewer { friends { nodes { friends { nodes { friends { nodes { id } } } } } } } }",
    ] {
        assert_refused(limits(Mode::Open), document, TooComplex, "units of cost");
    }
}
