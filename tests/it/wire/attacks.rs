//! Documents meant to crash the process or to keep it busy, over every transport: each is rejected quickly.

use std::{process, time::Duration};

use qv_tests::{client::Client, process::cpu, world::World};
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

/// Longest allowed response with errors.
const ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Longest processor time of an attack, client and node together. A debug build needs a hundredth, an unbounded fan-out
/// hours.
const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_hostile_document_is_refused_in_a_moment_and_the_node_lives() {
    let node = World::new().await.node().await;
    let client = node.client();
    // With a session: a socket without one closes at the first long message.
    let mut socket = client.register("mallory").await.socket().await;
    for (name, query) in attacks() {
        let before = cpu(process::id());
        let answer = post(&client, &json!({ "query": query })).await;
        assert_refused(name, &answer);

        socket.subscribe(name, &query, Value::Null).await;
        let message = socket.receive().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!(name)), "{message}");
        assert_refused(name, &json!({ "errors": message["payload"] }));
        let cost = cpu(process::id()).saturating_sub(before);
        assert!(cost < MOMENT, "{name}: {cost:?}");
    }
    client.run("{ __typename }", Value::Null).await.data();
    socket.subscribe("after", "{ __typename }", Value::Null).await;
    assert_eq!(socket.receive().await["type"], "next");
}

#[tokio::test]
async fn variables_nested_deep_are_refused_and_the_node_lives() {
    let node = World::new().await.node().await;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"query":"{{ __typename }}","variables":{{"a":{nested}}}}}"#);
    let request = reqwest::Client::new().post(node.client().url("/graphql")).header("content-type", "application/json");
    let response = request.body(body).send().await.expect("the node answers");
    assert_eq!(response.status(), 400);
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    node.client().run("{ __typename }", Value::Null).await.data();
}

fn attacks() -> Vec<(&'static str, String)> {
    let nested =
        |open: &str, inner: &str, close: &str, depth| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
    let numbered = |count, write: &dyn Fn(usize) -> String| (0..count).map(write).collect::<String>();
    let list = nested("[", "1", "]", 7_000);
    let fan = numbered(26, &|n| format!("fragment F{n} on Viewer {{ ...F{} ...F{} }} ", n + 1, n + 1));
    let include = "@include(if: true) ";
    vec![
        ("literals", format!("{{ users(first: {list}) {{ nodes {{ id }} }} }}")),
        ("open literals", format!("{{ users(first: {}", "[".repeat(15_000))),
        ("objects", format!("{{ user(by: {}) {{ id }} }}", nested("{id:", "1", "}", 2_500))),
        ("defaults", format!("query($a: Int = {list}) {{ users(first: $a) {{ nodes {{ id }} }} }}")),
        ("directive arguments", format!("{{ viewer @include(if: {list}) {{ email }} }}")),
        ("selections", nested("{ viewer ", "{ email }", "}", 1_200)),
        ("inline fragments", format!("{{ {} }}", nested("...{", " __typename ", "}", 2_500))),
        ("list types", format!("query($a: {}) {{ __typename }}", nested("[", "Int", "]", 7_000))),
        ("fan-out", format!("{{ viewer {{ ...F0 }} }} {fan} fragment F26 on Viewer {{ email }}")),
        ("a cycle", "{ viewer { ...A } } fragment A on Viewer { ...B } fragment B on Viewer { ...A }".to_owned()),
        ("a fragment in itself", "{ ...A } fragment A on Query { ...A }".to_owned()),
        ("aliases", format!("{{ {} }}", numbered(101, &|n| format!("a{n}: __typename ")))),
        ("copies", format!("{{ viewer {{ {} }} }}", "email ".repeat(500))),
        ("directives", format!("{{ viewer {} {{ email }} }}", include.repeat(300))),
        ("directives of a fragment", format!("{{ ...A }} fragment A on Query {} {{ __typename }}", include.repeat(21))),
        ("bad fields", format!("{{ viewer {{ {} }} }}", numbered(900, &|n| format!("bad{n} ")))),
        ("bad variables", format!("query({}) {{ __typename }}", numbered(240, &|n| format!("$a{n}: Bad{n} ")))),
        ("operations", numbered(500, &|n| format!("query A{n} {{ __typename }} "))),
        ("a comment", format!("# {}\n{{ __typename }}", "x".repeat(100_000))),
        ("a string without an end", format!("{{ users(search: \"\"\"{}", "[".repeat(10_000))),
        ("pages of pages", pages()),
    ]
}

/// Returns a query whose cost is over the limit before anything is read.
fn pages() -> String {
    let conversation = |n| format!("c{n}: conversation(with: \"x\") {{ messages(first: 100) {{ nodes {{ id }} }} }} ");
    format!("{{ viewer {{ {} }} }}", (0..20).map(conversation).collect::<String>())
}

fn assert_refused(name: &str, answer: &Value) {
    assert_eq!(answer.get("data"), None, "{name}: {answer}");
    let errors = answer["errors"].as_array().expect("errors");
    assert!((1..=10).contains(&errors.len()), "{name}: {}", errors.len());
    for error in errors {
        let code = error["extensions"]["code"].as_str().expect("a code");
        let known = ["TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"];
        assert!(known.contains(&code), "{name}: {error}");
    }
    assert!(answer.to_string().len() <= ANSWER_MAX_BYTES, "{name}: {} bytes", answer.to_string().len());
}

async fn post(client: &Client, body: &Value) -> Value {
    let request = reqwest::Client::new().post(client.url("/graphql"));
    let request = request.header(ACCEPT, "application/graphql-response+json");
    let response = request.json(body).send().await.expect("the node answers");
    assert_eq!(response.status(), 400);
    response.json().await.expect("JSON")
}
