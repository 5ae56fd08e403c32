//! Compares execution with async-graphql's own. The tests of `graphql` do so with generated operations over the real
//! schema.

use async_graphql::{Response, ValidationMode};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::config::graphql::Mode;
use crate::engine::tests::{ID, TestContext, call, limits, run, schema};
use crate::engine::{Answer, GraphqlRequest};

fn as_json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.json).unwrap()
}

#[tokio::test]
async fn answers_equal_those_of_the_library() {
    let engine = schema::engine(limits(Mode::Explore));
    let library = schema::builder().validation_mode(ValidationMode::Fast).finish();
    for (query, variables) in [
        ("{ viewer { id } }", json!({})),
        ("{ viewer { __typename } }", json!({})),
        ("{ __typename }", json!({})),
        ("{ me: viewer { it: id } }", json!({})),
        ("{ me: viewer { a: id b: username } viewer { id } }", json!({})),
        ("query A { viewer { id } } query B { users { nodes { username } edges { cursor node { id } } } }", json!({})),
        ("{ viewer { ...F } } fragment F on User { id ...G } fragment G on User { username }", json!({})),
        ("{ ... on Query { viewer { ... { id } } } }", json!({})),
        ("{ viewer { id } viewer { username } }", json!({})),
        (
            "query ($yes: Boolean!) { viewer { id @skip(if: $yes) username @include(if: $yes) } }",
            json!({ "yes": true }),
        ),
        ("query ($yes: Boolean!) { viewer @skip(if: $yes) { id } }", json!({ "yes": true })),
        (
            "query ($yes: Boolean!) { viewer { id ...F @include(if: $yes) } } fragment F on User { username @skip(if: $yes) }",
            json!({ "yes": true }),
        ),
        ("{ viewer { id ... @skip(if: false) { username } } }", json!({})),
        (
            "query ($no: Boolean = true) { viewer { id @skip(if: $no) username @include(if: $no) } }",
            json!({ "no": null }),
        ),
        (
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id friends(first: 2) { nodes { id } } } }",
            json!({ "ids": ["a", "b"] }),
        ),
        ("query ($by: UserBy = { id: \"a\" }) { user(by: $by) { id } }", json!({})),
        ("{ user(by: { username: \"a\" }) { id } }", json!({})),
        ("{ forbidden { id } }", json!({})),
        ("{ forbidden { id } fault { id } viewer { id } }", json!({})),
        ("mutation { register }", json!({})),
        ("mutation { logout done: logout }", json!({})),
        (
            "mutation ($input: LoginInput!) { login(input: $input) }",
            json!({ "input": { "login": "a", "roles": ["ADMIN"] } }),
        ),
    ] {
        let operation_name = query.contains("query B").then(|| "B".to_owned());
        let request = GraphqlRequest { operation_name, ..call(query, variables) };
        let prepared = engine.prepare(request.clone()).unwrap();
        let mut expected: Response = library.execute(prepared.request()).await;
        if expected.data == async_graphql::Value::Null && expected.errors.is_empty() {
            // async-graphql returns null for an object whose fields are all skipped.
            expected.data = async_graphql::value!({});
        }
        prepared.shape.restore(&mut expected);
        let answer = run(&engine, request).await;
        assert_eq!(as_json(&answer), as_json(&Answer::new(expected, ID)), "{query}");
    }
}

/// async-graphql itself treats an omitted variable as false.
#[tokio::test]
async fn a_condition_may_have_a_default() {
    let engine = schema::engine(limits(Mode::Open));
    let query = "query ($yes: Boolean = true) { viewer { id @skip(if: $yes) username @include(if: $yes) } }";
    for (variables, expected) in
        [(json!({}), json!({ "username": "ada" })), (json!({ "yes": false }), json!({ "id": "user_1" }))]
    {
        let answer = run(&engine, call(query, variables)).await;
        assert_eq!(as_json(&answer), json!({ "data": { "viewer": expected } }));
    }
}

#[tokio::test]
async fn a_subscription_answers_each_event() {
    let engine = schema::engine(limits(Mode::Open));
    let prepared = engine.prepare(call("subscription { tick: ticks }", json!({}))).unwrap();
    assert_eq!(prepared.field.as_deref(), Some("ticks"));
    let answers: Vec<_> =
        engine.subscribe(prepared, TestContext::default()).map(|answer| as_json(&answer)).collect().await;
    assert_eq!(answers, [json!({ "data": { "tick": 1 } })]);
}
