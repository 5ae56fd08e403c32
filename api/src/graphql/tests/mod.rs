//! Compares the engine with the library's own execution: generated operations over the real schema have equal results.
//!
//! The library executes field by field, as for a collector of traces. `QV_CONFORMANCE_CASES` sets the number of
//! operations.

mod generator;

use std::{collections::BTreeSet, env, path::Path, pin::pin, sync::Arc, sync::atomic::AtomicI64};

use async_graphql::{Response, Schema, ValidationMode};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use self::generator::Generator;
use crate::config;
use crate::crypto::SigningKey;
use crate::domain::{Client, Clock, ErrorCode, Random, Role, Source, Viewer};
use crate::engine::{Answer, Context, FieldSpans, FieldsAreWatched, GraphqlRequest, OperationType, PreparedOperation};
use crate::graphql::roots::{Mutation, Query, Subscription};
use crate::graphql::{DEFINITION, Engine, RequestScope, StreamPosition, engine};
use crate::service::{self, Backend, RequestContext, accounts::Registration, messages, messages::Draft};

const ID: &str = "request-1";

/// The library's description of every schema, as JSON.
const FIXED_DESCRIPTION: &str = "\"A GraphQL Schema defines the capabilities of a GraphQL server. It exposes all \
                                 available types and directives on the server, as well as the entry points for query, \
                                 mutation, and subscription operations.\"";

/// Number of operations, of which most are valid.
const CASES: usize = 600;

/// A backend with some data, and both ways to execute on it.
struct World {
    backend: Arc<Backend>,
    engine: Engine,
    library: Schema<Query, Mutation, Subscription>,
    viewer: Viewer,
    /// Ids of all kinds, and texts that are not ids.
    ids: Vec<String>,
    /// Cursors, and texts that are not cursors.
    cursors: Vec<String>,
}

impl World {
    async fn new(folder: &Path) -> Self {
        let settings = [
            ("DATA_DIR", folder.to_str().unwrap()),
            ("RATE_LIMITS__ENABLED", "false"),
            ("PASSWORDS__MEMORY_KIB", "64"),
            ("PASSWORDS__PASSES", "1"),
            ("GRAPHQL__MAX_ALIASES", "1000"),
            ("GRAPHQL__MAX_TOKENS", "10000"),
        ];
        let settings = settings.map(|(name, value)| (format!("QUANTUMVAULT__{name}"), value.to_owned()));
        let config = config::load(settings).unwrap();
        // Some results depend on the time.
        let now = AtomicI64::new(Clock::System.now().timestamp_micros());
        let source = Source::with_clock(Clock::Manual(Arc::new(now)));
        let pair = SigningKey::generate(&Random::System).unwrap();
        let engine = engine(config.graphql.clone(), false).unwrap();
        let backend = Backend::open(config, source, SigningKey::from_pkcs8(&pair).unwrap()).await.unwrap();
        let library =
            (DEFINITION.build)().validation_mode(ValidationMode::Fast).extension(FieldSpans).data(FieldsAreWatched);
        let mut viewers = Vec::new();
        for name in ["alice", "bob", "carol"] {
            let registration = Registration {
                username: name.to_owned(),
                email: format!("{name}@example.org"),
                password: "plum-anvil-cobalt-drizzle-42".to_owned().into(),
                device_info: None,
            };
            let anyone = RequestContext::new(Arc::clone(&backend), client(), None);
            viewers.push(service::accounts::register(&anyone, registration).await.unwrap().viewer);
        }
        let viewer = Viewer { role: Role::Admin, ..viewers[0] };
        let mut ids = vec!["nonsense".to_owned(), "user_00000000000000000000000000".to_owned()];
        ids.extend(viewers.iter().map(|viewer| viewer.user_id.to_string()));
        ids.push(viewer.session_id.to_string());
        for (number, (from, to)) in [(0, 1), (1, 0), (0, 1), (2, 0), (1, 0), (1, 2)].into_iter().enumerate() {
            let sender = RequestContext::new(Arc::clone(&backend), client(), Some(viewers[from]));
            let draft = Draft {
                recipient_id: viewers[to].user_id,
                encrypted_content: vec![1; 40],
                iv: vec![2; 12],
                client_message_id: format!("message-{number}"),
            };
            let (message, conversation) = messages::send(&sender, draft).await.unwrap();
            let recipient = RequestContext::new(Arc::clone(&backend), client(), Some(viewers[to]));
            messages::mark_read(&recipient, conversation.id, message.id).await.unwrap();
            ids.extend([message.id.to_string(), conversation.id.to_string()]);
        }
        let cursors = vec!["nonsense".to_owned()];
        let mut world = Self { backend, engine, library: library.finish(), viewer, ids, cursors };
        world.collect_cursors().await;
        world
    }

    async fn collect_cursors(&mut self) {
        let query = "{ viewer { messageFeed(first: 3) { events { cursor } } sessions { edges { cursor node { id } } } \
                     conversations { edges { cursor } nodes { messages { edges { cursor } } } } \
                     auditLogs { edges { cursor node { id } } } } users { edges { cursor } } }";
        let answer = self.run(self.engine.prepare(request(query, &json!({}))).unwrap()).await;
        let mut values = vec![serde_json::from_slice::<Value>(&answer.json).unwrap()];
        while let Some(value) = values.pop() {
            match value {
                Value::Array(items) => values.extend(items),
                Value::Object(fields) => {
                    for (name, value) in fields {
                        match (name.as_str(), value) {
                            ("cursor", Value::String(cursor)) => self.cursors.push(cursor),
                            ("id", Value::String(id)) => self.ids.push(id),
                            (_, value) => values.push(value),
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn context(&self) -> RequestContext {
        RequestContext::new(Arc::clone(&self.backend), client(), Some(self.viewer))
    }

    async fn run(&self, prepared: PreparedOperation) -> Answer {
        self.engine.execute(prepared, RequestScope::new(self.context())).await
    }

    /// Executes with the library only. As the engine does, adds the nulls and the order that it leaves out, and the
    /// description of the schema.
    async fn run_by_library(&self, prepared: &PreparedOperation) -> Answer {
        let scope = RequestScope::new(self.context());
        let loads = Context::loads(&scope).cloned().unwrap();
        let executing = pin!(self.library.execute(prepared.request().data(scope)));
        let answer = finished(prepared, loads.drive(executing).await);
        let guide = Value::from(DEFINITION.description).to_string();
        let json = str::from_utf8(&answer.json).unwrap().replace(FIXED_DESCRIPTION, &guide);
        Answer { json: json.into(), ..answer }
    }

    /// Returns the first results of a subscription, from the engine and from the library.
    async fn follow(&self, prepared: &PreparedOperation, count: usize) -> [Vec<Answer>; 2] {
        let scope = || RequestScope::of_subscription(self.context(), Some(StreamPosition::after(None)));
        let by_library = self.library.execute_stream(prepared.request().data(scope()));
        let by_library = by_library.take(count).map(|response| finished(prepared, response)).collect().await;
        let by_engine = self.engine.subscribe(prepared.clone(), scope()).take(count).collect().await;
        [by_engine, by_library]
    }
}

fn client() -> Arc<Client> {
    Arc::new(Client { request_id: ID.to_owned(), ip: None, user_agent: None })
}

fn request(query: &str, variables: &Value) -> GraphqlRequest {
    GraphqlRequest::from_json(json!({ "query": query, "variables": variables })).unwrap()
}

fn finished(prepared: &PreparedOperation, mut response: Response) -> Answer {
    prepared.shape.restore(&mut response);
    Answer::new(response, ID)
}

/// Asserts that both results have the same data: byte for byte, unless directives may change the order of fields.
///
/// Errors below a null that another error caused may be omitted (GraphQL, section 6.4.4). So the engine has a part of
/// the library's errors, and none only if the library has none.
fn assert_equal(query: &str, ours: &Answer, theirs: &Answer) {
    let parts = |answer: &Answer| {
        let answer: Value = serde_json::from_slice(&answer.json).unwrap();
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        (answer["data"].to_string(), errors.iter().map(Value::to_string).collect::<BTreeSet<_>>())
    };
    let ((data, errors), (their_data, their_errors)) = (parts(ours), parts(theirs));
    assert_eq!(data, their_data, "{query}\n{errors:?}\n{their_errors:?}");
    assert_eq!(errors.is_empty(), their_errors.is_empty(), "{query}\n{errors:?}\n{their_errors:?}");
    assert!(their_errors.len() >= 10 || errors.is_subset(&their_errors), "{query}\n{errors:?}\n{their_errors:?}");
    if errors.is_empty() && !query.contains('@') {
        assert_eq!(ours.json, theirs.json, "{query}");
    }
}

#[tokio::test]
async fn generated_operations_have_the_answers_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let cases = env::var("QV_CONFORMANCE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let types = world.engine.types();
    let mut generator = Generator::new(7, &types.registry, &world.ids, &world.cursors);
    let (mut executed, mut failed, mut kinds) = (0, 0, BTreeSet::new());
    for _ in 0..cases {
        let (query, variables) = generator.operation();
        let prepared = match world.engine.prepare(request(&query, &variables)) {
            Ok(prepared) => prepared,
            Err(errors) => {
                // Conflicting fields of one key, documents over a limit, and null for an argument that is not nullable.
                let known = [ErrorCode::GraphqlValidationFailed, ErrorCode::TooComplex, ErrorCode::BadUserInput];
                assert!(errors.iter().all(|error| known.contains(&error.code)), "{query}: {errors:?}");
                continue;
            }
        };
        let query = format!("{query}\n{variables}");
        let answers = if prepared.kind == OperationType::Subscription {
            kinds.insert("subscription");
            world.follow(&prepared, 4).await
        } else {
            kinds.insert(if prepared.kind == OperationType::Query { "query" } else { "mutation" });
            let by_library = world.run_by_library(&prepared).await;
            [vec![world.run(prepared).await], vec![by_library]]
        };
        let [ours, theirs] = &answers;
        assert_eq!(ours.len(), theirs.len(), "{query}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_equal(&query, ours, theirs);
            executed += 1;
            failed += usize::from(!ours.codes.is_empty());
        }
    }
    assert!(executed * 2 > cases && failed * 10 > executed, "{executed} of {cases} executed, {failed} failed");
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[tokio::test]
async fn introspection_has_the_answers_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let full = include_str!("../../../../tests/operations/introspection.graphql");
    let mixed = "query ($no: Boolean = false) { a: __type(name: \"User\") { ...T } viewer { role } __schema { queryType { name } } \
                 a: __type(name: \"User\") { name } b: __type(name: \"Nothing\") { name } \
                 c: __schema @include(if: $no) { queryType { name } } __typename } \
                 fragment T on __Type { kind fields { name type { ...R } } } fragment R on __Type { name ofType { name } }";
    stream::iter([full, mixed])
        .for_each(async |query| {
            let prepared = world.engine.prepare(request(query, &json!({}))).unwrap();
            let theirs = world.run_by_library(&prepared).await;
            let ours = world.run(prepared).await;
            assert!(ours.codes.is_empty(), "{:?}", ours.json);
            assert_equal(query, &ours, &theirs);
        })
        .await;
}

/// The library returns null for an object without fields, and loses the values that it merges with a null.
#[tokio::test]
async fn an_object_without_fields_is_empty_and_merges_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path()).await;
    let user = world.viewer.user_id.to_string();
    let query = "query ($id: ID!, $yes: Boolean = true) { viewer { role @skip(if: $yes) } admin { __typename @skip(if: $yes) } \
                 a: node(id: $id) { ... on Passkey { id } } b: node(id: $id) { ... on Passkey { id } } b: node(id: $id) { id } }";
    for _ in 0..20 {
        let prepared = world.engine.prepare(request(query, &json!({ "id": user }))).unwrap();
        let answer: Value = serde_json::from_slice(&world.run(prepared).await.json).unwrap();
        assert_eq!(answer, json!({ "data": { "viewer": {}, "admin": {}, "a": {}, "b": { "id": user } } }));
    }
}
