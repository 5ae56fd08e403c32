//! GraphQL over HTTP on the wire: media types, statuses, limits and headers.

use std::fs;

use quantumvault::config::{Config, Mode};
use qv_tests::client::registration;
use qv_tests::operation;
use qv_tests::raw::{self, Raw};
use qv_tests::world::{Node, World};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const GRAPHQL_RESPONSE: (&str, &str) = ("accept", "application/graphql-response+json");
const TYPENAME: &str = r#"{"query":"{__typename}"}"#;
const QUERY: &str = "/graphql?query=%7B__typename%7D";
/// SHA-256 of `{__typename}`.
const DIGEST: &str = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";

async fn with(change: impl FnOnce(&mut Config)) -> Node {
    World::new().await.node_with(change).await
}

async fn post(node: &Node, headers: &[(&str, &str)], body: &str) -> Raw {
    raw::request(node.server.address, "POST /graphql", headers, body).await
}

async fn get(node: &Node, target: &str, headers: &[(&str, &str)]) -> Raw {
    raw::get(node.server.address, target, headers).await
}

#[tokio::test]
async fn a_status_tells_what_the_media_type_lets_it() {
    let node = World::new().await.node().await;
    for (document, token, status) in
        [("{__typename}", None, 200), ("{nope}", None, 400), ("{", None, 400), ("{__typename}", Some("Bearer x"), 401)]
    {
        let body = json!({ "query": document }).to_string();
        let mut headers = vec![JSON];
        headers.extend(token.map(|token| ("authorization", token)));
        let plain = post(&node, &headers, &body).await;
        assert_eq!(plain.status, 200, "{document}");
        assert_eq!(plain.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
        headers.push(GRAPHQL_RESPONSE);
        let telling = post(&node, &headers, &body).await;
        assert_eq!(telling.status, status, "{document}");
        let media = "application/graphql-response+json; charset=utf-8";
        assert_eq!(telling.header("content-type").as_deref(), Some(media));
        assert_eq!(telling.header("www-authenticate").is_some(), status == 401);
        for answer in [plain, telling] {
            assert_eq!(answer.json().get("data").is_some(), status == 200, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn methods_do_what_they_may() {
    let node = World::new().await.node().await;
    assert_eq!(get(&node, QUERY, &[]).await.json()["data"]["__typename"], "Query");
    let mutation = "GET /graphql?query=mutation%7Blogout%7BrevokedSessionId%7D%7D";
    for line in ["PUT /graphql", "DELETE /graphql", mutation] {
        let headers = [JSON, ("x-http-method-override", "POST")];
        let answer = raw::request(node.server.address, line, &headers, "").await;
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("GET, POST, OPTIONS")), "{line}");
        assert_dressed(&answer);
    }
}

#[tokio::test]
async fn what_cannot_be_answered_as_asked_is_406() {
    let node = World::new().await.node().await;
    assert_eq!(post(&node, &[JSON, ("accept", "image/png")], TYPENAME).await.status, 406);
    let body = json!({ "query": operation!("message_feed") }).to_string();
    assert_eq!(post(&node, &[JSON, ("accept", "application/json")], &body).await.status, 406);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let node = with(|config| config.http.body_max_bytes = 1024).await;
    // The announced length alone causes the rejection; the node does not wait for the body.
    assert_eq!(post(&node, &[JSON, ("content-length", "1025")], "").await.status, 413);
    let chunk = format!("800\r\n{}\r\n0\r\n\r\n", " ".repeat(0x800));
    assert_eq!(post(&node, &[JSON, ("transfer-encoding", "chunked")], &chunk).await.status, 413);
    for length in [40_000, 66_000] {
        assert_eq!(get(&node, &format!("/graphql?query={}", "a".repeat(length)), &[]).await.status, 414);
    }
    assert_eq!(get(&node, QUERY, &[("x-a", &"a".repeat(120_000))]).await.status, 431);
}

#[tokio::test]
async fn only_json_is_read() {
    let node = World::new().await.node().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/plain; application/json",
        "application/json; charset=latin1",
    ] {
        assert_eq!(post(&node, &[("content-type", content_type)], TYPENAME).await.status, 415, "{content_type}");
    }
    assert_eq!(post(&node, &[], TYPENAME).await.status, 415);
    assert_eq!(post(&node, &[JSON, ("content-encoding", "gzip")], TYPENAME).await.status, 415);
    assert_eq!(get(&node, QUERY, &[("content-type", "text/plain")]).await.status, 415);
    let quoted = ("content-type", "application/json; charset=\"UTF-8\"");
    assert_eq!(post(&node, &[quoted], TYPENAME).await.status, 200);
}

#[tokio::test]
async fn broken_json_and_batches_are_refused() {
    let node = World::new().await.node().await;
    let deep = format!(r#"{{"query":"{{__typename}}","variables":{{"a":{}{}}}}}"#, "[".repeat(9000), "]".repeat(9000));
    for body in ["{", "1", &deep, &format!("[{TYPENAME}]")] {
        let answer = post(&node, &[JSON], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
        assert!(answer.json().get("data").is_none());
    }
}

#[tokio::test]
async fn a_batch_runs_where_it_is_allowed() {
    let node = with(|config| config.http.batch_limit = 2).await;
    let answer = post(&node, &[JSON], &format!("[{TYPENAME},{{\"query\":\"{{nope}}\"}}]")).await.json();
    assert_eq!(answer[0]["data"]["__typename"], "Query");
    assert!(answer[1].get("data").is_none() && answer[1]["errors"].is_array(), "{answer}");
    for refused in ["[]".to_owned(), format!("[{TYPENAME},{TYPENAME},{TYPENAME}]")] {
        assert_eq!(post(&node, &[JSON], &refused).await.status, 400, "{refused}");
    }
    let answer = post(&node, &[JSON], &json!([{ "query": operation!("message_feed") }]).to_string()).await.json();
    assert!(answer[0].get("data").is_none() && answer[0]["errors"].is_array(), "{answer}");
}

#[tokio::test]
async fn every_answer_is_dressed_and_named() {
    let node = World::new().await.node().await;
    for target in [QUERY, "/nothing", "/health/live", "/"] {
        assert_dressed(&get(&node, target, &[]).await);
    }
    let id_of = async |id: &str| {
        let answer = post(&node, &[JSON, ("x-request-id", id)], r#"{"query":"{nope}"}"#).await;
        let id = answer.header("x-request-id").expect("an id");
        assert_eq!(answer.json()["errors"][0]["extensions"]["requestId"], id);
        id
    };
    assert_eq!(id_of("abc-1").await, "abc-1");
    for insane in ["a b", "<script>", &"a".repeat(65)] {
        assert_ne!(id_of(insane).await, insane);
    }
}

#[tokio::test]
async fn only_a_listed_origin_may_read() {
    let node = with(|config| config.http.allowed_origins = vec!["https://app.example".to_owned()]).await;
    for (origin, listed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
        ("null", false),
        ("https://app.example.evil", false),
        ("https://evil-app.example", false),
    ] {
        let allowed = listed.then(|| origin.to_owned());
        let answer = get(&node, QUERY, &[("origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let preflight = raw::request(node.server.address, "OPTIONS /graphql", &headers, "").await;
        assert_eq!(preflight.status, if listed { 204 } else { 403 }, "{origin}");
        assert_eq!(preflight.header("access-control-allow-origin"), allowed);
        assert_eq!(preflight.header("access-control-allow-methods").is_some(), listed);
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed() {
    for (trusted, wanted) in [("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")] {
        let node = with(|config| config.http.trusted_proxies = vec![trusted.parse().expect("a network")]).await;
        let body = json!({ "query": operation!("register"), "variables": { "input": registration("alice") } });
        let headers = [("x-forwarded-for", "1.1.1.1, 203.0.113.9")];
        let answer = raw::post(node.server.address, &headers, &body).await.json();
        assert_eq!(answer["data"]["register"]["viewer"]["session"]["ipAddress"], wanted, "{answer}");
    }
}

#[tokio::test]
async fn the_slow_are_cut() {
    let node = with(|config| {
        config.http.header_timeout_seconds = 1;
        config.http.body_timeout_seconds = 1;
    })
    .await;
    let body = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    let cases = [
        ("", "", None),
        ("POST /graphql HTTP/1.1\r\nHo", "", None),
        ("GET /graphql HTTP/1.1\r\nx: ", "a", None),
        ("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", "", Some("200")),
        (body, "", Some("408")),
        (body, " ", Some("408")),
    ];
    for (first, drop, status) in cases {
        let said = raw::drip(node.server.address, first, drop).await;
        assert_eq!(said.split(' ').nth(1), status, "{first:?} {drop:?}: {said}");
    }
}

#[tokio::test]
async fn two_lengths_are_no_request() {
    let node = World::new().await.node().await;
    let answer = post(&node, &[JSON, ("content-length", "5"), ("content-length", "6")], "abcdef").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_offer_of_http_2_is_left_alone() {
    let node = World::new().await.node().await;
    let headers = [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")];
    let answer = get(&node, QUERY, &headers).await;
    assert_eq!((answer.status, &answer.json()["data"]["__typename"]), (200, &json!("Query")));
}

#[tokio::test]
async fn the_schema_is_read_in_explore_mode_only() {
    let body = r#"{"query":"{__schema{queryType{name}}}"}"#;
    let explore = World::new().await.node().await;
    assert_eq!(post(&explore, &[JSON], body).await.json()["data"]["__schema"]["queryType"]["name"], "Query");
    let open = with(|config| config.graphql.mode = Mode::Open).await;
    let answer = post(&open, &[JSON], body).await.json();
    assert!(answer.get("data").is_none() && answer["errors"].is_array(), "{answer}");
    assert_eq!(get(&open, "/graphql/explorer", &[]).await.status, 404);
    assert_eq!(post(&open, &[JSON], TYPENAME).await.json()["data"]["__typename"], "Query");
}

#[tokio::test]
async fn trusted_mode_runs_what_its_manifest_names() {
    let folder = qv_tests::world::private_folder();
    let manifest = folder.path().join("manifest.json");
    fs::write(&manifest, json!({ "kind": "{__typename}" }).to_string()).expect("a manifest");
    let node = with(|config| {
        config.graphql.mode = Mode::Trusted;
        config.graphql.manifest = manifest;
    })
    .await;
    let ask = async |body: Value| raw::post(node.server.address, &[], &body).await;
    assert_eq!(ask(json!({ "documentId": "kind" })).await.json()["data"]["__typename"], "Query");
    for body in [json!({ "query": "{a:__typename}" }), json!({ "documentId": "other" })] {
        assert_eq!(ask(body).await.code(), "PERSISTED_QUERY_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_document_sent_once_is_asked_for_by_its_digest() {
    let node = World::new().await.node().await;
    let ask = async |query: Option<&str>, digest: &str| {
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": digest } });
        raw::post(node.server.address, &[], &json!({ "query": query, "extensions": extensions })).await
    };
    let missing = ask(None, DIGEST).await;
    assert_eq!(missing.code(), "PERSISTED_QUERY_NOT_FOUND");
    let wrong = ask(Some("{__typename}"), &DIGEST.replace('e', "0")).await;
    assert_eq!((wrong.code().as_str(), wrong.json().get("data")), ("BAD_REQUEST", None), "{wrong:?}");
    for query in [Some("{__typename}"), None] {
        assert_eq!(ask(query, DIGEST).await.json()["data"]["__typename"], "Query");
    }
}

#[tokio::test]
async fn health_and_keys_are_public() {
    let node = World::new().await.node().await;
    for target in ["/health/live", "/health/ready"] {
        let answer = get(&node, target, &[]).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("OK")), "{target}");
    }
    let keys = get(&node, "/.well-known/jwks.json", &[]).await;
    assert_eq!((&keys.json()["keys"][0]["crv"], keys.json()["keys"][0].get("d")), (&json!("Ed25519"), None));
}

fn assert_dressed(answer: &Raw) {
    for (name, wanted) in
        [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")]
    {
        assert_eq!(answer.header(name).as_deref(), Some(wanted), "{answer:?}");
    }
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
}
