//! Tests the preparation of operations: modes, operations, variables, persisted documents, manifests.

use std::{env, fs, path::PathBuf, process};

use async_graphql::Value;
use serde_json::json;

use crate::config::graphql::{Graphql, Mode};
use crate::domain::ErrorCode;
use crate::engine::prepare::tests::{documents, prepare};
use crate::engine::prepare::{Documents, SetupError, persisted};
use crate::engine::tests::{call, limits, schema};
use crate::engine::{GraphqlRequest, OperationType, PreparedOperation, RequestError};

const VIEWER: &str = "{ viewer { id } }";

/// Standard introspection query with every option on, as codegen and GraphiQL send it.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { description
  queryType { name kind } mutationType { name kind } subscriptionType { name kind } types { ...FullType }
  directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } } } }
fragment FullType on __Type { kind name description specifiedByURL isOneOf
  fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...InputValue }
    type { ...TypeRef } isDeprecated deprecationReason }
  inputFields(includeDeprecated: true) { ...InputValue } interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue isDeprecated deprecationReason }
fragment TypeRef on __Type { kind name ofType { name kind ofType { name kind ofType { name kind ofType { name kind
  ofType { name kind ofType { name kind ofType { name kind ofType { name kind ofType { name kind } } } } } } } } } }";

fn code(result: Result<PreparedOperation, Vec<RequestError>>) -> ErrorCode {
    result.unwrap_err()[0].code
}

fn persisted_query(hash: &str, query: Option<&str>) -> GraphqlRequest {
    let extension = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    GraphqlRequest {
        query: query.map(str::to_owned),
        extensions: serde_json::from_value(extension).unwrap(),
        ..GraphqlRequest::default()
    }
}

fn hash(text: &str) -> String {
    persisted::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn manifest(name: &str, content: &serde_json::Value) -> PathBuf {
    let path = env::temp_dir().join(format!("quantumvault-{}-{name}.json", process::id()));
    fs::write(&path, content.to_string()).unwrap();
    path
}

#[tokio::test]
async fn a_prepared_request_executes() {
    let schema = schema::builder().validation_mode(async_graphql::ValidationMode::Fast).finish();
    let documents = documents(limits(Mode::Open));
    let query = "mutation L($input: LoginInput!) { login(input: $input) }";
    for _ in 0..2 {
        let prepared =
            documents.prepare(call(query, json!({ "input": { "login": "ada", "roles": ["ADMIN"] } }))).unwrap();
        assert_eq!((prepared.kind, prepared.operation_name.as_deref()), (OperationType::Mutation, Some("L")));
        let response = schema.execute(prepared.request()).await;
        assert_eq!(response.data, async_graphql::value!({ "login": "ada 3 1" }), "{:?}", response.errors);
    }
    assert!(documents.cache.contains_key(&persisted::digest(query)));
}

#[tokio::test]
async fn introspection_passes_with_all_limits_on_and_beside_other_fields() {
    let schema = schema::builder().validation_mode(async_graphql::ValidationMode::Fast).finish();
    let documents = documents(limits(Mode::Explore));
    let mixed = INTROSPECTION.replacen("__schema", "viewer { id } __schema", 1);
    for query in [INTROSPECTION, &mixed] {
        let response = schema.execute(prepare(&documents, query).unwrap().request()).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        assert!(matches!(&response.data, Value::Object(data) if data["__schema"] != Value::Null));
    }
    let deep = mixed.replacen("viewer { id }", &format!("{}id{}", "viewer { ".repeat(11), "}".repeat(11)), 1);
    assert_eq!(code(prepare(&documents, &deep)), ErrorCode::TooComplex);
}

#[test]
fn the_operation_is_resolved_by_its_name() {
    let documents = documents(limits(Mode::Open));
    let named = |query: &str, name: &str| {
        documents.prepare(GraphqlRequest { operation_name: Some(name.to_owned()), ..call(query, json!({})) })
    };
    let two = "query A { viewer { id } } mutation B { logout }";
    assert_eq!(named(two, "A").unwrap().kind, OperationType::Query);
    assert_eq!(named(two, "B").unwrap().kind, OperationType::Mutation);
    assert_eq!(prepare(&documents, "query A { viewer { id } }").unwrap().operation_name.as_deref(), Some("A"));
    for result in [prepare(&documents, two), named(two, "C"), named(VIEWER, "A"), named(two, "")] {
        assert_eq!(code(result), ErrorCode::OperationResolutionFailure);
    }
}

#[test]
fn what_does_not_read_is_refused_with_a_code_and_no_echo() {
    let documents = documents(limits(Mode::Open));
    for (document, expected) in [
        ("", ErrorCode::GraphqlParseFailed),
        ("{ viewer { secret_word ", ErrorCode::GraphqlParseFailed),
        ("{ viewer(a: \"secret_word) { id } }", ErrorCode::GraphqlParseFailed),
        ("fragment secret_word on User { id }", ErrorCode::OperationResolutionFailure),
        ("query secret_word { viewer { id } } query secret_word { viewer { id } }", ErrorCode::GraphqlValidationFailed),
        ("{ viewer { id } } query secret_word { viewer { id } }", ErrorCode::GraphqlValidationFailed),
        ("{ viewer { ...F } } fragment F on User { id } fragment F on User { id }", ErrorCode::GraphqlValidationFailed),
        ("subscription { ticks a: ticks }", ErrorCode::GraphqlValidationFailed),
    ] {
        let errors = prepare(&documents, document).unwrap_err();
        assert_eq!(errors[0].code, expected, "{errors:?}");
        assert!(!errors[0].message.contains("secret_word"), "{errors:?}");
    }
    let errors = prepare(&documents, "{\n  viewer {{ id } }").unwrap_err();
    assert_eq!((errors[0].locations[0].line, errors[0].locations[0].column), (2, 11));
}

#[test]
fn what_does_not_fit_the_schema_is_refused_without_suggestions() {
    let documents = documents(limits(Mode::Open));
    for document in [
        "{ viewr { id } }",
        "{ viewer { usernam } }",
        "{ users(frst: 1) { nodes { id } } }",
        "query ($a: Int) { viewer { id } }",
    ] {
        let errors = prepare(&documents, document).unwrap_err();
        assert_eq!(errors[0].code, ErrorCode::GraphqlValidationFailed);
        assert!(!errors[0].message.contains("Did you mean"), "{errors:?}");
        assert!(!errors[0].locations.is_empty(), "{errors:?}");
    }
    let queries = Documents::new(limits(Mode::Open), schema::without_mutations()).unwrap();
    assert_eq!(code(prepare(&queries, "mutation { logout }")), ErrorCode::GraphqlValidationFailed);
}

#[test]
fn variables_that_do_not_fit_are_bad_input_each_time_and_name_their_place() {
    let documents = documents(limits(Mode::Open));
    let login = "mutation ($input: LoginInput!) { login(input: $input) }";
    let users = "query ($n: Int, $roles: [Role!]) { users(first: $n, roles: $roles) { nodes { id } } }";
    let user = "query ($by: UserBy!) { user(by: $by) { id } }";
    for (query, variables, field) in [
        (login, json!({}), "input"),
        (login, json!({ "input": null }), "input"),
        (login, json!({ "input": "x" }), "input"),
        (login, json!({ "input": {} }), "input.login"),
        (login, json!({ "input": { "login": 5 } }), "input.login"),
        (login, json!({ "input": { "login": "a", "extra": 5 } }), "input.extra"),
        (login, json!({ "input": { "login": "a", "roles": ["ADMIN", "ROOT"] } }), "input.roles.1"),
        (users, json!({ "n": 3_000_000_000_u32 }), "n"),
        (users, json!({ "n": 1.5 }), "n"),
        (users, json!({ "n": "1" }), "n"),
        (users, json!({ "roles": [null] }), "roles.0"),
        (user, json!({ "by": {} }), "by"),
        (user, json!({ "by": { "id": "a", "username": "b" } }), "by"),
        (user, json!({ "by": { "id": null } }), "by"),
    ] {
        for _ in 0..2 {
            let errors = documents.prepare(call(query, variables.clone())).unwrap_err();
            assert_eq!(errors[0].code, ErrorCode::BadUserInput, "{errors:?}");
            assert_eq!(errors[0].extensions, [("field", field.into())], "{errors:?}");
        }
    }
    for (query, variables) in [
        (users, json!({ "n": null, "roles": "ADMIN", "unused": 1 })),
        (users, json!({})),
        (user, json!({ "by": { "id": "a" } })),
    ] {
        documents.prepare(call(query, variables)).unwrap();
    }
}

#[test]
fn variables_inside_of_literals_are_checked_with_each_request() {
    let documents = documents(limits(Mode::Open));
    let query = "mutation ($a: String!, $n: Int) { login(input: { login: $a, tries: $n, roles: 5 }) }";
    let variables = json!({ "a": "ada", "n": 1 });
    for _ in 0..2 {
        assert_eq!(code(documents.prepare(call(query, variables.clone()))), ErrorCode::GraphqlValidationFailed);
    }
    documents.prepare(call(&query.replace('5', "ADMIN"), variables)).unwrap();
    let two =
        "query A($by: ID!) { user(by: { id: $by }) { id } } query B($by: Int) { users(first: $by) { nodes { id } } }";
    let by_name = |name: &str, by: serde_json::Value| {
        documents.prepare(GraphqlRequest { operation_name: Some(name.to_owned()), ..call(two, json!({ "by": by })) })
    };
    by_name("A", "x".into()).unwrap();
    by_name("B", 5.into()).unwrap();
}

#[test]
fn automatic_persisted_queries_run_by_hash_once_they_are_known() {
    let documents = documents(limits(Mode::Open));
    let known = hash(VIEWER);
    assert_eq!(code(documents.prepare(persisted_query(&known, None))), ErrorCode::PersistedQueryNotFound);
    documents.prepare(persisted_query(&known, Some(VIEWER))).unwrap();
    documents.prepare(persisted_query(&known, None)).unwrap();
    documents.prepare(persisted_query(&known.to_uppercase(), None)).unwrap();
    documents
        .prepare(GraphqlRequest { document_id: Some(format!("sha256:{known}")), ..GraphqlRequest::default() })
        .unwrap();
    for bad in [
        persisted_query(&hash("other"), Some(VIEWER)),
        persisted_query("", Some(VIEWER)),
        GraphqlRequest { document_id: Some("other".to_owned()), ..call(VIEWER, json!({})) },
        GraphqlRequest { document_id: Some("other".to_owned()), ..persisted_query(&known, None) },
        GraphqlRequest::default(),
    ] {
        assert_eq!(code(documents.prepare(bad)), ErrorCode::BadRequest);
    }
    let extension = json!({ "persistedQuery": { "version": 2, "sha256Hash": known } });
    let future = GraphqlRequest { extensions: serde_json::from_value(extension).unwrap(), ..GraphqlRequest::default() };
    assert_eq!(code(documents.prepare(future)), ErrorCode::PersistedQueryNotSupported);
}

#[test]
fn a_document_that_is_refused_is_not_kept() {
    let documents = documents(limits(Mode::Open));
    assert_eq!(
        code(documents.prepare(persisted_query(&hash("{ bad }"), Some("{ bad }")))),
        ErrorCode::GraphqlValidationFailed
    );
    assert_eq!(code(documents.prepare(persisted_query(&hash("{ bad }"), None))), ErrorCode::PersistedQueryNotFound);
}

#[test]
fn t17_trusted_mode_runs_the_documents_of_its_manifest_and_no_other() {
    let apollo = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
        { "id": hash(VIEWER), "name": "V", "type": "query", "body": VIEWER },
    ] });
    let relay = json!({ "id-1": VIEWER });
    for (name, content, id) in [("apollo", apollo, hash(VIEWER)), ("relay", relay, "id-1".to_owned())] {
        let manifest = manifest(name, &content);
        let documents = documents(Graphql { manifest: manifest.clone(), ..limits(Mode::Trusted) });
        fs::remove_file(manifest).unwrap();
        documents.prepare(GraphqlRequest { document_id: Some(id.clone()), ..GraphqlRequest::default() }).unwrap();
        documents.prepare(persisted_query(&id, None)).unwrap();
        documents.prepare(persisted_query(&hash(VIEWER), Some(VIEWER))).unwrap();
        prepare(&documents, VIEWER).unwrap();
        let other = "{ viewer { username } }";
        for _ in 0..2 {
            for bypass in [
                call(other, json!({})),
                persisted_query(&hash(other), Some(other)),
                persisted_query(&hash(other), None),
                GraphqlRequest { document_id: Some("id-2".to_owned()), ..GraphqlRequest::default() },
                call("{ viewer { id  } }", json!({})),
            ] {
                assert_eq!(code(documents.prepare(bypass)), ErrorCode::PersistedQueryNotFound);
            }
        }
    }
}

#[test]
fn a_manifest_that_cannot_serve_stops_the_start() {
    let start = |manifest| Documents::new(Graphql { manifest, ..limits(Mode::Trusted) }, schema::builder()).err();
    assert!(matches!(start(PathBuf::new()), Some(SetupError::NoManifest)));
    for (name, content) in [
        ("format", json!({ "format": "other", "version": 1, "operations": [] })),
        ("version", json!({ "format": "apollo-persisted-query-manifest", "version": 2, "operations": [] })),
        ("document", json!({ "id-1": "{ viewer { nothing } }" })),
        ("shape", json!([])),
    ] {
        let path = manifest(name, &content);
        assert!(matches!(start(path.clone()), Some(SetupError::Manifest { .. })), "{name}");
        fs::remove_file(path).unwrap();
    }
    assert!(matches!(start(PathBuf::from("/nowhere")), Some(SetupError::Manifest { .. })));
}
