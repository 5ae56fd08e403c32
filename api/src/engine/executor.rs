//! Runs what `documents` has prepared, as the library does once it has parsed and validated.
//!
//! The library validates in each execution, by a walk that takes longer than a small answer itself. What follows in it is
//! one call of its public resolvers in an environment that it lets others make, so that call is made here.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use async_graphql::{
    ContainerType, Context, ContextSelectionSet, Data, EmptyMutation, EmptySubscription, IntrospectionMode, Name,
    Object, ObjectType, OutputType, Positioned, QueryEnv, QueryEnvInner, Response, Schema, SchemaEnv, ServerResult,
    Value,
    extensions::Extensions,
    futures_util::FutureExt,
    indexmap::IndexMap,
    parser::types::{Field, OperationType, Selection},
    registry::Registry,
    resolver_utils::{resolve_container, resolve_container_serial},
};

use crate::engine::{field_spans, prepare::ExecutableOperation};

/// Up to so many bytes, JSON is copied sooner than a map is made to hold it.
const SMALL: usize = 2048;

/// Runs queries and mutations that do not ask about the schema and that no extension watches.
pub(crate) struct Executor<Q, M> {
    query: Q,
    mutation: M,
    types: SchemaEnv,
    extensions: Extensions,
    nothing: Arc<Data>,
}

impl<Q: ObjectType + Default, M: ObjectType + Default> Executor<Q, M> {
    /// One for these types; `None` if the library no longer hands over what it runs with.
    pub(crate) fn new(types: &SchemaEnv) -> Option<Self> {
        let seen = Arc::new(OnceLock::new());
        let probing = Schema::new(Probe(Arc::clone(&seen)), EmptyMutation, EmptySubscription);
        probing.execute("{ extensions }").now_or_never()?;
        let (extensions, types) = (seen.get()?.clone(), types.clone());
        Some(Self { query: Q::default(), mutation: M::default(), types, extensions, nothing: Arc::default() })
    }

    /// The answer of an operation, whose resolvers find `data`.
    pub(crate) async fn run(&self, executable: ExecutableOperation, data: Data) -> Response {
        let env = QueryEnv::new(QueryEnvInner {
            extensions: self.extensions.clone(),
            variables: executable.variables,
            operation_name: None,
            operation: executable.operation,
            fragments: executable.fragments,
            uploads: Vec::new(),
            session_data: Arc::clone(&self.nothing),
            query_data: Arc::new(data),
            http_headers: Mutex::default(),
            introspection_mode: IntrospectionMode::Disabled,
            errors: Mutex::default(),
        });
        let root = env.create_context(&self.types, None, &env.operation.node.selection_set, None);
        let data = match env.operation.node.ty {
            // In a box: with all that mutations do it would be most of a query's future.
            OperationType::Mutation => Box::pin(resolve(&root, &self.mutation, true)).await,
            OperationType::Query | OperationType::Subscription => resolve(&root, &self.query, false).await,
        };
        let mut response = data.map_or_else(|error| Response::from_errors(vec![error]), Response::new);
        response.errors.append(&mut env.errors.lock().unwrap_or_else(PoisonError::into_inner));
        response
    }
}

/// The library's list of extensions, empty, which only the library makes.
struct Probe(Arc<OnceLock<Extensions>>);

#[Object]
impl Probe {
    async fn extensions(&self, ctx: &Context<'_>) -> bool {
        self.0.set(ctx.query_env.extensions.clone()).is_ok()
    }
}

/// The fields of an object, by the library; a single one without what it takes to wait for many.
pub(crate) async fn resolve<T: ContainerType + Sync>(
    ctx: &ContextSelectionSet<'_>,
    object: &T,
    is_serial: bool,
) -> ServerResult<Value> {
    if let [selection] = ctx.item.node.items.as_slice()
        && let Selection::Field(field) = &selection.node
        && field.node.name.node != "__typename"
        && !field_spans::are_watched(ctx)
    {
        return Ok(match object.resolve_field(&ctx.with_field(field)).await {
            Ok(value) => alone(&field.node.response_key().node, value.unwrap_or_default()),
            Err(error) => {
                ctx.add_error(error);
                Value::Null
            }
        });
    }
    if is_serial { resolve_container_serial(ctx, object).await } else { resolve_container(ctx, object).await }
}

/// An object of one field. What is small and JSON already, as `response` knows it, stays JSON.
fn alone(name: &Name, value: Value) -> Value {
    match value {
        Value::Binary(json) if json.len() <= SMALL => {
            Value::Binary([b"{\"", name.as_bytes(), b"\":", &json, b"}"].concat().into())
        }
        value => Value::Object(IndexMap::from_iter([(name.clone(), value)])),
    }
}

/// An object of the library of which mostly one field is asked for.
pub(crate) struct SingleField<T>(pub(crate) T);

impl<T: ObjectType> OutputType for SingleField<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve(ctx, &self.0, false).await
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::ValidationMode;
    use serde_json::json;

    use super::*;
    use crate::{
        config::graphql::Mode,
        engine::prepare::tests::{call, documents, limits, schema},
    };

    #[tokio::test]
    async fn answers_are_those_of_the_library() {
        let documents = documents(limits(Mode::Explore));
        let library = schema::builder().validation_mode(ValidationMode::Fast).finish();
        let executor = Executor::<schema::Query, schema::Mutation>::new(documents.types()).unwrap();
        for (query, variables) in [
            ("{ viewer { id } }", json!({})),
            ("{ viewer { __typename } }", json!({})),
            ("{ __typename }", json!({})),
            ("{ me: viewer { it: id } }", json!({})),
            ("{ me: viewer { a: id b: username } viewer { id } }", json!({})),
            (
                "query A { viewer { id } } query B { users { nodes { username } edges { cursor node { id } } } }",
                json!({}),
            ),
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
            let mut call = call(query, variables);
            call.operation_name = query.contains("query B").then(|| "B".to_owned());
            let prepared = || documents.prepare(call.clone()).unwrap();
            let expected = library.execute(prepared().request()).await;
            let answer = executor.run(prepared().into_executable().unwrap(), Data::default()).await;
            assert_eq!(serde_json::to_value(&answer).unwrap(), serde_json::to_value(&expected).unwrap(), "{query}");
        }
        let asking = documents.prepare(call("{ viewer { id } __schema { queryType { name } } }", json!({}))).unwrap();
        assert!(asking.into_executable().is_err());
    }

    /// The library takes what was left out for false.
    #[tokio::test]
    async fn a_condition_may_have_a_default() {
        let documents = documents(limits(Mode::Open));
        let executor = Executor::<schema::Query, schema::Mutation>::new(documents.types()).unwrap();
        let query = "query ($yes: Boolean = true) { viewer { id @skip(if: $yes) username @include(if: $yes) } }";
        for (variables, expected) in
            [(json!({}), json!({ "username": "ada" })), (json!({ "yes": false }), json!({ "id": "user_1" }))]
        {
            let executable = documents.prepare(call(query, variables)).unwrap().into_executable().unwrap();
            let answer = executor.run(executable, Data::default()).await;
            assert_eq!(answer.data.into_json().unwrap(), json!({ "viewer": expected }));
        }
    }
}
