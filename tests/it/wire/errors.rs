//! Every code of the contract as an HTTP client receives it, and details that error responses must not contain.

use std::{any::Any, sync::Arc};

use chrono::TimeDelta;
use quantumvault::{config::Config, domain::ErrorCode};
use qv_tests::client::{Client, draft, registration};
use qv_tests::operation;
use qv_tests::world::{Node, World, manual_clock};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};
use serde_json::{Value, json};

/// Media type under which the status reports the outcome of a request.
const STRICT: &str = "application/graphql-response+json";
/// Media type under which every well-formed request gets 200.
const LENIENT: &str = "application/json";

/// Request whose response is an error.
struct Case {
    /// Sender of the request.
    client: Client,
    body: Value,
    /// Statuses under `STRICT` and `LENIENT`.
    statuses: [u16; 2],
    /// Fields of `extensions` besides the code.
    fields: Value,
    /// Values that must live until the response: the node, and perhaps a lock.
    _kept: Box<dyn Any>,
}

/// Response as received.
struct Reply {
    status: u16,
    retry_after: Option<String>,
    request_id: String,
    text: String,
    json: Value,
}

impl Case {
    /// Creates a case for an error in a field: the operation ran.
    fn field(node: &Node, client: Client, query: &str, variables: &Value) -> Self {
        let body = json!({ "query": query, "variables": variables });
        Self { client, body, statuses: [200, 200], fields: json!({}), _kept: Box::new(node.clone()) }
    }

    /// Creates a case for an error of the request, which did not run.
    fn request(node: &Node, body: Value) -> Self {
        let kept = Box::new(node.clone());
        Self { client: node.client(), body, statuses: [400, 200], fields: json!({}), _kept: kept }
    }

    /// Creates a case for a rejected document.
    fn document(node: &Node, query: &str) -> Self {
        Self::request(node, json!({ "query": query }))
    }

    fn statuses(self, strict: u16, lenient: u16) -> Self {
        Self { statuses: [strict, lenient], ..self }
    }

    fn with(self, fields: Value) -> Self {
        Self { fields, ..self }
    }

    async fn check(&self, code: ErrorCode) {
        for (accept, status) in [STRICT, LENIENT].into_iter().zip(self.statuses) {
            let reply = post(&self.client, accept, &self.body).await;
            let context = format!("{} under {accept}: {} {}", code.as_str(), reply.status, reply.text);
            assert_eq!(reply.status, status, "{context}");
            let errors = reply.json["errors"].as_array().unwrap_or_else(|| panic!("{context}"));
            assert_eq!(errors.len(), 1, "{context}");
            let mut extensions = errors[0]["extensions"].clone();
            assert_eq!(extensions["code"], code.as_str(), "{context}");
            assert_eq!(extensions["requestId"], reply.request_id, "{context}");
            assert_eq!(reply.json.get("data").is_some(), errors[0].get("path").is_some(), "{context}");
            let is_passing = matches!(code, ErrorCode::RateLimited | ErrorCode::Unavailable);
            if is_passing {
                let seconds = extensions["retryAfterSeconds"].as_u64().unwrap_or_else(|| panic!("{context}"));
                assert!(seconds >= 1, "{context}");
                assert_eq!(reply.retry_after, Some(seconds.to_string()), "{context}");
            }
            let told = extensions.as_object_mut().expect("an object");
            told.retain(|name, _| {
                !(["code", "requestId"].contains(&name.as_str()) || is_passing && name == "retryAfterSeconds")
            });
            assert_eq!(extensions, self.fields, "{context}");
        }
    }
}

#[tokio::test]
async fn every_code_is_answered_as_the_contract_says() {
    for code in ErrorCode::ALL {
        let cases = Box::pin(cases(code)).await;
        // A restore expires cursors, and the tests of restores cover that.
        assert_eq!(cases.is_empty(), code == ErrorCode::CursorExpired, "{}", code.as_str());
        for case in cases {
            case.check(code).await;
        }
    }
}

#[tokio::test]
async fn a_fault_keeps_its_cause_to_itself() {
    for case in Box::pin(cases(ErrorCode::InternalServerError)).await {
        let text = post(&case.client, LENIENT, &case.body).await.text.to_lowercase();
        for secret in ["select", "users", "sessions", "table", "relation", "sql", "database"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn errors_are_few_and_suggest_nothing() {
    let node = World::new().await.node().await;
    // Misspelled names, for which a helpful library would suggest the right ones.
    let fields: Vec<_> = (0..300).map(|index| format!("emial{index} ")).collect();
    for query in
        [format!("{{ viewer {{ emial usr {} }} }}", fields.concat()), format!("{{ viewr {} }}", fields.concat())]
    {
        let reply = post(&node.client(), STRICT, &json!({ "query": query })).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text.len() <= 16 * 1024, "{}", reply.text.len());
        let errors = reply.json["errors"].as_array().expect("errors");
        assert!((1..=10).contains(&errors.len()), "{}", errors.len());
        assert!(errors.iter().all(|error| error["extensions"]["requestId"] == reply.request_id), "{}", reply.text);
        for hint in ["Did you mean", "\"email\"", "\"viewer\"", "serviceConfig"] {
            assert!(!reply.text.contains(hint), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_parse_error_does_not_echo_the_document() {
    let node = World::new().await.node().await;
    for query in ["{ viewer { swordfish(", "swordfish", "{ a(b: \"swordfish) }", "query swordfish { ", "{ swordfish: }"]
    {
        let reply = post(&node.client(), STRICT, &json!({ "query": query })).await;
        assert_eq!(reply.json["errors"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED", "{query}: {}", reply.text);
        assert!(!reply.text.contains("swordfish"), "{}", reply.text);
    }
}

/// Returns requests that cause a code. A new code does not compile until it is handled here.
async fn cases(code: ErrorCode) -> Vec<Case> {
    let node = World::new().await.node().await;
    let by_digest = |version| {
        let extension = json!({ "version": version, "sha256Hash": "0".repeat(64) });
        vec![Case::request(&node, json!({ "extensions": { "persistedQuery": extension } }))]
    };
    match code {
        ErrorCode::GraphqlParseFailed => vec![Case::document(&node, "{ viewer {")],
        ErrorCode::GraphqlValidationFailed => vec![Case::document(&node, "{ nothing }")],
        ErrorCode::OperationResolutionFailure => {
            vec![Case::document(&node, "query A { viewer { email } } query B { viewer { email } }")]
        }
        ErrorCode::TooComplex => {
            let fields: Vec<_> = (0..21).map(|index| format!("a{index}: __typename ")).collect();
            vec![Case::document(&node, &format!("{{ {} }}", fields.concat()))]
        }
        ErrorCode::PersistedQueryNotFound => by_digest(1),
        ErrorCode::PersistedQueryNotSupported => by_digest(2),
        ErrorCode::BadRequest => vec![Case::request(&node, json!({})).statuses(400, 400)],
        ErrorCode::BadUserInput => bad_input(&node),
        ErrorCode::Unauthenticated => unauthenticated().await,
        ErrorCode::InvalidCredentials => {
            let variables = json!({ "input": { "login": "nobody", "password": "not the password of anybody" } });
            vec![Case::field(&node, node.client(), operation!("login"), &variables)]
        }
        ErrorCode::Forbidden => {
            let alice = node.client().register("alice").await;
            vec![Case::field(&node, alice, operation!("admin_users"), &json!({}))]
        }
        ErrorCode::NotFound => {
            let [alice, eve] = node.client().register_all(["alice", "eve"]).await;
            let variables = json!({ "input": { "id": eve.session().await } });
            vec![Case::field(&node, alice, operation!("revoke_session"), &variables)]
        }
        ErrorCode::Conflict => {
            node.client().register("alice").await;
            let mut account = registration("alice");
            account["email"] = "another@example.org".into();
            let case = Case::field(&node, node.client(), operation!("register"), &json!({ "input": account }));
            vec![case.with(json!({ "field": "input.username" }))]
        }
        // A feed whose cursor has expired continues with GAP, and no list drops its items by age.
        ErrorCode::CursorExpired => Vec::new(),
        ErrorCode::RateLimited => rate_limited().await,
        ErrorCode::QuotaExceeded => {
            let (_, node) = self::node(|config| config.quotas.stored_bytes_per_user = 1).await;
            let alice = node.client().register("alice").await;
            let variables = draft(&alice, "two", "1");
            vec![Case::field(&node, alice, operation!("send_message"), &variables)]
        }
        ErrorCode::DeadlineExceeded => vec![overdue().await],
        ErrorCode::Unavailable => unavailable().await,
        ErrorCode::InternalServerError => faulty().await,
    }
}

fn bad_input(node: &Node) -> Vec<Case> {
    let mut account = registration("alice");
    account["username"] = "a".into();
    let variables = json!({ "input": account });
    let by_rule = Case::field(node, node.client(), operation!("register"), &variables);
    let by_type = json!({ "query": operation!("node"), "variables": { "id": [] } });
    vec![
        by_rule.with(json!({ "field": "input.username" })),
        Case::request(node, by_type).with(json!({ "field": "id" })),
    ]
}

async fn unauthenticated() -> Vec<Case> {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let expired = node.client().register("alice").await;
    world.source.clock.advance(TimeDelta::minutes(11));
    let revoked = node.client().login("alice").await;
    revoked.run(operation!("logout"), Value::Null).await.data();
    let mut invalid = node.client();
    invalid.token = Some("nonsense".to_owned());
    let case = |client, reason| {
        Case::field(&node, client, operation!("logout"), &Value::Null).with(json!({ "reason": reason }))
    };
    vec![
        case(node.client(), "MISSING"),
        case(expired, "EXPIRED").statuses(401, 200),
        case(revoked, "REVOKED").statuses(401, 200),
        case(invalid, "INVALID").statuses(401, 200),
    ]
}

/// Returns a limit that rejects a mutation's field, and one that rejects the request.
async fn rate_limited() -> Vec<Case> {
    let by_field = node(|config| {
        config.rate_limits.enabled = true;
        config.rate_limits.register_by_address.burst = 1;
    });
    let (_, by_field) = by_field.await;
    by_field.client().register("alice").await;
    let variables = json!({ "input": registration("bob") });
    let field = Case::field(&by_field, by_field.client(), operation!("register"), &variables);
    let by_cost = node(|config| {
        config.rate_limits.enabled = true;
        config.rate_limits.cost_by_caller.burst = 1;
        config.rate_limits.cost_by_caller.interval_ms = 60_000;
    });
    let (_, by_cost) = by_cost.await;
    by_cost.client().run(operation!("service_config"), Value::Null).await;
    vec![field, Case::document(&by_cost, operation!("service_config")).statuses(429, 429)]
}

/// Returns a registration that waits for a lock longer than a request may take.
async fn overdue() -> Case {
    let (world, node) = node(|config| config.http.request_timeout_seconds = 1).await;
    let database = world.database.connect().await;
    let lock = database.begin().await.expect("a transaction begins");
    let statement = match database.get_database_backend() {
        DbBackend::Postgres => "LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
        _ => "UPDATE users SET username = username",
    };
    lock.execute_unprepared(statement).await.expect("the lock is free");
    let body = json!({ "query": operation!("register"), "variables": { "input": registration("alice") } });
    let case = Case::request(&node, body).statuses(504, 200);
    Case { _kept: Box::new((node, lock)), ..case }
}

/// Returns cases with a closed database: for a field, and for the session of the request.
async fn unavailable() -> Vec<Case> {
    let (_, node) = node(remember_no_session).await;
    let alice = node.client().register("alice").await;
    node.server.backend.close().await;
    let variables = json!({ "input": { "login": "alice", "password": "whatever it may be" } });
    let field = Case::field(&node, node.client(), operation!("login"), &variables);
    vec![field, Case::field(&node, alice, operation!("viewer"), &Value::Null).statuses(503, 503)]
}

/// Returns cases with missing tables: one that a field needs, and one that the request's session needs.
async fn faulty() -> Vec<Case> {
    let (world, node) = node(remember_no_session).await;
    let alice = node.client().register("alice").await;
    let database = world.database.connect().await;
    for table in ["users", "sessions"] {
        let away = format!("ALTER TABLE {table} RENAME TO {table}_away");
        database.execute_unprepared(&away).await.expect("the table is renamed");
    }
    let variables = json!({ "input": registration("bob") });
    let field = Case::field(&node, node.client(), operation!("register"), &variables);
    vec![field, Case::field(&node, alice, operation!("viewer"), &Value::Null).statuses(500, 200)]
}

fn remember_no_session(config: &mut Config) {
    config.cache.session_ttl_seconds = 0;
}

/// Starts a node with changed settings.
async fn node(set: impl FnOnce(&mut Config)) -> (Arc<World>, Node) {
    let world = World::new().await;
    let node = world.node_with(set).await;
    (world, node)
}

async fn post(client: &Client, accept: &str, body: &Value) -> Reply {
    let mut request = reqwest::Client::new().post(client.url("/graphql")).header(ACCEPT, accept).json(body);
    if let Some(token) = &client.token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.expect("the node answers");
    let header = |name| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    assert!(header(CONTENT_TYPE.as_str()).is_some_and(|media| media.starts_with(accept)), "{response:?}");
    let (retry_after, request_id) = (header(RETRY_AFTER.as_str()), header("x-request-id").expect("an id"));
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    let json = serde_json::from_str(&text).expect("JSON");
    Reply { status, retry_after, request_id, text, json }
}
