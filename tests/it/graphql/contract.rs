//! The printed schema: as committed, fully described, and valid for the operations of the tests.

use std::{fs, path::Path};

use quantumvault::{config, domain::ErrorCode, engine::GraphqlRequest, graphql};
use qv_tests::{operation, world::World};
use serde_json::Value;

const COMMITTED: &str = include_str!("../../../schema.graphql");

/// Members of a type that need a description each.
const MEMBERS: [&str; 4] = ["fields", "inputFields", "enumValues", "args"];

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    assert!(graphql::sdl() == COMMITTED, "schema.graphql is out of date: run `just schema` and read the difference");
}

#[tokio::test]
async fn a_node_describes_all_of_its_schema_and_says_when_a_field_is_null() {
    let node = World::new().await.node().await;
    let answer = node.client().run(operation!("introspection"), Value::Null).await;
    let mut gaps = Vec::new();
    let types = answer.data()["__schema"]["types"].as_array().expect("types");
    for described in types.iter().filter(|described| !is_built_in(described)) {
        look(described, "", &mut gaps);
        for field in list(&described["fields"]) {
            let is_nullable = field["type"]["kind"] != "NON_NULL";
            let says_null = |text: &str| text.contains("null") || text.contains("Null");
            if is_nullable && !field["description"].as_str().is_some_and(says_null) {
                gaps.push(format!("{}.{} does not say when it is null", described["name"], field["name"]));
            }
        }
    }
    assert!(types.len() > 50 && gaps.is_empty(), "{} types: {gaps:#?}", types.len());
}

#[tokio::test]
async fn a_node_describes_its_schema_with_the_guide() {
    let node = World::new().await.node().await;
    let answer = node.client().run("{ __schema { guide: description } }", Value::Null).await;
    let guide = answer.data()["__schema"]["guide"].as_str().expect("a description");
    assert!(guide.contains("## Sign in") && COMMITTED.contains(guide.trim_end()), "{guide}");
}

#[tokio::test]
async fn a_node_has_no_type_beside_its_schema() {
    let node = World::new().await.node().await;
    let answer = node.client().run("{ __schema { types { name } } serviceConfig { __typename } }", Value::Null).await;
    let types = answer.data()["__schema"]["types"].as_array().expect("types");
    assert!(types.len() > 50, "{types:?}");
    for described in types.iter().filter(|described| !is_built_in(described)) {
        let name = described["name"].as_str().expect("a name");
        let is_declared = |line: &str| {
            let mut words = line.split_whitespace();
            let kind = words.next().unwrap_or_default();
            ["type", "input", "enum", "interface", "scalar", "union"].contains(&kind) && words.next() == Some(name)
        };
        assert!(COMMITTED.lines().any(is_declared), "{name}");
    }
    // The library would answer this query if it reached the execution.
    let answer = node.client().run("{ _service { sdl } }", Value::Null).await;
    assert_eq!(answer.error().0, "GRAPHQL_VALIDATION_FAILED");
}

#[test]
fn every_operation_of_the_tests_is_valid_and_within_the_limits() {
    let settings = config::load(Vec::<(String, String)>::new()).expect("the defaults are valid").graphql;
    let engine = graphql::engine(settings, false).expect("documents are served");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("operations");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let query = Some(fs::read_to_string(&path).expect("a text"));
        let refusals = engine.prepare(GraphqlRequest { query, ..GraphqlRequest::default() }).err().unwrap_or_default();
        // An operation with variables fails because they are missing, and only after its document was validated.
        let others: Vec<_> = refusals.iter().filter(|refusal| refusal.code != ErrorCode::BadUserInput).collect();
        assert!(others.is_empty(), "{}: {others:?}", path.display());
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Finds a type or members without a description, or with a long first sentence.
fn look(described: &Value, within: &str, gaps: &mut Vec<String>) {
    let name = format!("{within}{}", described["name"].as_str().expect("a name"));
    let text = described["description"].as_str().unwrap_or_default();
    let sentence = text.split_once(". ").map_or(text, |(first, _)| first).split("\n\n").next().unwrap_or_default();
    if !(1..100).contains(&sentence.chars().count()) {
        gaps.push(format!("{name} is described by {sentence:?}"));
    }
    for member in MEMBERS.iter().flat_map(|kind| list(&described[kind])) {
        look(member, &format!("{name}."), gaps);
    }
}

/// Whether GraphQL itself defines a type, and the library describes it.
fn is_built_in(described: &Value) -> bool {
    let name = described["name"].as_str().expect("a name");
    name.starts_with("__") || ["Boolean", "Float", "ID", "Int", "String"].contains(&name)
}

/// Returns the items of a list that is null where it does not apply.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
