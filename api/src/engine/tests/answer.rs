//! Tests each kind of error as the client receives it.

use async_graphql::{PathSegment, Response, ServerError, value};
use serde_json::{Value, json};

use crate::config::graphql::Mode;
use crate::domain::ErrorCode;
use crate::engine::answer::{MAX_ERROR_BYTES, MAX_ERRORS};
use crate::engine::tests::{ID, call, limits, run, schema};
use crate::engine::{Answer, RequestError};

/// Returns the complete answer to a document.
async fn answer(query: &str, variables: Value) -> Value {
    serde_json::from_slice(&run(&schema::engine(limits(Mode::Open)), call(query, variables)).await.json).unwrap()
}

#[tokio::test]
async fn an_answer_without_errors_is_its_data() {
    assert_eq!(answer("{ viewer { id } }", json!({})).await, json!({ "data": { "viewer": { "id": "user_1" } } }));
    assert_eq!(Answer::new(Response::new(value!({ "a": 1 })), ID).json, r#"{"data":{"a":1}}"#);
}

#[tokio::test]
async fn requests_that_do_not_run_have_a_code_and_no_data() {
    for (query, variables, code) in [
        ("{ viewer {", json!({}), "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
        ("query A { viewer { id } } query B { viewer { id } }", json!({}), "OPERATION_RESOLUTION_FAILURE"),
        ("mutation { a: register b: register }", json!({}), "TOO_COMPLEX"),
        ("query ($n: Int!) { users(first: $n) { nodes { id } } }", json!({}), "BAD_USER_INPUT"),
        ("{ users(first: \"1\") { nodes { id } } }", json!({}), "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let answer = answer(query, variables).await;
        assert_eq!(answer.get("data"), None, "{answer}");
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["requestId"]), (&code.into(), &ID.into()), "{answer}");
        assert_eq!(extensions.get("field").is_some(), code == "BAD_USER_INPUT", "{answer}");
    }
}

#[tokio::test]
async fn an_error_of_a_resolver_keeps_its_code_and_the_data_beside_it() {
    let answer = answer("{ forbidden { id } viewer { id } }", json!({})).await;
    assert_eq!(answer["data"], json!({ "forbidden": null, "viewer": { "id": "user_1" } }));
    let error = &answer["errors"][0];
    assert_eq!(error["message"], "You may not do that.");
    assert_eq!(error["path"], json!(["forbidden"]));
    assert_eq!(error["extensions"], json!({ "code": "FORBIDDEN", "requestId": ID }));
}

#[tokio::test]
async fn a_fault_says_nothing_of_its_cause() {
    for query in ["{ fault { id } }", "{ unknownCode { id } }"] {
        let answer = answer(query, json!({})).await;
        assert!(answer.get("data").is_some(), "{answer}");
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"], json!({ "code": "INTERNAL_SERVER_ERROR", "requestId": ID }));
        assert!(!answer.to_string().contains("relation") && !answer.to_string().contains("secret"), "{answer}");
    }
    let mut told = ServerError::from(RequestError::new(ErrorCode::InternalServerError, "disk /dev/sda is full"));
    told.path.push(PathSegment::Field("viewer".to_owned()));
    let answer = Answer::new(Response::from_errors(vec![told]), ID);
    assert!(answer.is_executed && !String::from_utf8_lossy(&answer.json).contains("sda"));
}

#[tokio::test]
async fn a_literal_that_no_resolver_could_read_is_bad_input() {
    for (query, field) in [
        ("{ users(first: 3000000000) { nodes { id } } }", "first"),
        ("{ viewer { ...F } } fragment F on User { friends(last: -3000000000) { nodes { id } } }", "last"),
        ("mutation { login(input: { login: \"ada\", tries: 3000000000 }) }", "input.tries"),
    ] {
        let answer = answer(query, json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(
            error["extensions"],
            json!({ "code": "BAD_USER_INPUT", "field": field, "requestId": ID }),
            "{answer}"
        );
        assert_eq!(error["message"], format!("The argument {field} is invalid: expected Int."));
        assert_eq!(answer.get("data"), None);
    }
    let query = "mutation ($login: String!) { login(input: { login: $login, tries: 3000000000 }) }";
    let answer = answer(query, json!({ "login": "ada" })).await;
    assert_eq!(answer["errors"][0]["extensions"]["field"], "input.tries", "beside a variable");
    for (query, variables) in [
        ("query ($by: UserBy = { id: \"a\" }) { user(by: $by) { id } }", json!({ "by": null })),
        ("query ($a: ID, $b: String) { user(by: { id: $a, username: $b }) { id } }", json!({ "a": "x" })),
        ("mutation ($roles: [Role!]) { login(input: { tries: 1, roles: $roles }) }", json!({})),
    ] {
        let answer = self::answer(query, variables).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        assert!(code == "BAD_USER_INPUT" || code == "GRAPHQL_VALIDATION_FAILED", "{query}: {answer}");
    }
}

#[test]
fn an_error_without_a_code_or_a_path_is_a_fault_of_ours() {
    let answer = Answer::new(Response::from_errors(vec![ServerError::new("pool is gone", None)]), ID);
    assert!(!answer.is_executed);
    let answer: Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    assert_eq!(answer.get("data"), None);
}

#[test]
fn errors_are_few_and_short() {
    let errors = |count, length: usize| -> Vec<_> {
        (0..count).map(|_| RequestError::new(ErrorCode::BadRequest, "é\"".repeat(length))).collect()
    };
    let answer: Value = serde_json::from_slice(&Answer::refused(errors(30, 10), ID).json).unwrap();
    assert_eq!(answer["errors"].as_array().unwrap().len(), MAX_ERRORS);
    let bytes = Answer::refused(errors(30, 100_000), ID).json;
    assert!(bytes.len() < MAX_ERROR_BYTES + 64, "{}", bytes.len());
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["requestId"], ID);
}
