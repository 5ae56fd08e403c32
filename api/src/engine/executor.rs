//! Executes prepared operations with async-graphql's resolvers.
//!
//! async-graphql validates on every execution, which costs more than a small query. Documents are validated once
//! instead. The engine then calls the resolvers directly, with an execution environment that it builds.
//! `docs/async-graphql.md` lists the undocumented items of async-graphql that this uses.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::extensions::{ExtensionFactory, Extensions};
use async_graphql::futures_util::FutureExt;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, OperationType, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::{resolve_container, resolve_container_serial};
use async_graphql::{
    ContainerType, Context as FieldContext, ContextSelectionSet, Data, EmptyMutation, EmptySubscription,
    IntrospectionMode, Name, Object, ObjectType, OutputType, Positioned, QueryEnv, QueryEnvInner, Response, Schema,
    SchemaEnv, ServerResult, SubscriptionType, ValidationMode, Value,
};
use futures_util::{StreamExt, stream::BoxStream};

use crate::engine::context::{FieldsAreWatched, WritesText};
use crate::engine::{Context, Definition, PreparedOperation};

/// Maximum size of JSON text that is copied instead of put into a map of one field. Guarded by the benchmark `front`.
const SMALL: usize = 2048;

/// Root types, and the environment in which their operations run.
pub(super) struct Executor<Q, M, S> {
    query: QueryRoot<Q>,
    mutation: M,
    subscription: S,
    types: SchemaEnv,
    extensions: Extensions,
    /// Session data of operations whose objects write JSON text. `merging` is the session data of all others.
    writing_text: Arc<Data>,
    merging: Arc<Data>,
    /// Schema that executes introspection.
    introspection: Schema<Q, M, S>,
    /// The library's description of every schema, and the description of this one.
    descriptions: [Value; 2],
}

impl<Q, M, S> Executor<Q, M, S>
where
    Q: ObjectType + Default + 'static,
    M: ObjectType + Default + 'static,
    S: SubscriptionType + Default + 'static,
{
    /// Creates an executor. The extension receives each field that async-graphql resolves. `None` if async-graphql no
    /// longer exposes its list of extensions.
    pub(super) fn new(
        schema: &Definition<Q, M, S>,
        types: &SchemaEnv,
        extension: Option<impl ExtensionFactory>,
    ) -> Option<Self> {
        let (seen, mut writing_text, mut merging) = (Arc::new(OnceLock::new()), Data::default(), Data::default());
        writing_text.insert(WritesText);
        let mut probe = Schema::build(Probe(Arc::clone(&seen)), EmptyMutation, EmptySubscription);
        if let Some(extension) = extension {
            probe = probe.extension(extension);
            writing_text.insert(FieldsAreWatched);
            merging.insert(FieldsAreWatched);
        }
        probe.finish().execute("{ extensions }").now_or_never()?;
        let introspection = (schema.build)().validation_mode(ValidationMode::Fast).finish();
        let fixed = introspection.execute("{ __schema { description } }").now_or_never()?.data;
        Some(Self {
            query: QueryRoot(Q::default()),
            mutation: M::default(),
            subscription: S::default(),
            types: types.clone(),
            extensions: seen.get()?.clone(),
            writing_text: Arc::new(writing_text),
            merging: Arc::new(merging),
            descriptions: [fixed_description(fixed)?, Value::from(schema.description)],
            introspection,
        })
    }

    /// Executes a query or a mutation.
    pub(super) async fn execute<C: Context>(&self, prepared: PreparedOperation, context: C) -> Response {
        let env = self.environment(prepared, context);
        let root = env.create_context(&self.types, None, &env.operation.node.selection_set, None);
        let data = match env.operation.node.ty {
            // Boxed: a mutation's future would enlarge the future of every query.
            OperationType::Mutation => Box::pin(resolve(&root, &self.mutation, true)).await,
            OperationType::Query | OperationType::Subscription => resolve(&root, &self.query, false).await,
        };
        let mut response = data.map_or_else(|error| Response::from_errors(vec![error]), Response::new);
        response.errors.append(&mut env.errors.lock().unwrap_or_else(PoisonError::into_inner));
        response
    }

    /// Follows a subscription, which has one root field.
    pub(super) fn subscribe<C: Context>(
        self: Arc<Self>,
        prepared: PreparedOperation,
        context: C,
    ) -> BoxStream<'static, Response> {
        asynk_strim::stream_fn(|mut yielder| async move {
            let env = self.environment(prepared, context);
            let root = env.create_context(&self.types, None, &env.operation.node.selection_set, None);
            for selection in &env.operation.node.selection_set.node.items {
                let Selection::Field(field) = &selection.node else { continue };
                let field = root.with_field(field);
                let Some(mut responses) = self.subscription.create_field_stream(&field) else { continue };
                while let Some(response) = responses.next().await {
                    yielder.yield_item(response).await;
                }
            }
        })
        .boxed()
    }

    fn environment<C: Context>(&self, prepared: PreparedOperation, context: C) -> QueryEnv {
        let mut data = Data::default();
        data.insert(context);
        let session_data = if prepared.shape.merges_objects() { &self.merging } else { &self.writing_text };
        if let Some(request) = prepared.introspection() {
            // Introspection waits for nothing, so one poll completes it.
            let answer = self.introspection.execute(request.only_introspection()).now_or_never();
            let (mut value, errors) = answer.map(|answer| (answer.data, answer.errors)).unwrap_or_default();
            if !errors.is_empty() {
                tracing::error!(?errors, "introspection failed");
            }
            self.set_description(&mut value);
            data.insert(Introspection(value));
        }
        let executable = prepared.into_executable();
        QueryEnv::new(QueryEnvInner {
            extensions: self.extensions.clone(),
            variables: executable.variables,
            operation_name: None,
            operation: executable.operation,
            fragments: executable.fragments,
            uploads: Vec::new(),
            session_data: Arc::clone(session_data),
            query_data: Arc::new(data),
            http_headers: Mutex::default(),
            introspection_mode: IntrospectionMode::Disabled,
            errors: Mutex::default(),
        })
    }

    /// Replaces the library's fixed description of every schema, under each key that selects it.
    fn set_description(&self, answers: &mut Value) {
        let Value::Object(answers) = answers else { return };
        let [fixed, description] = &self.descriptions;
        for answer in answers.values_mut() {
            let Value::Object(schema) = answer else { continue };
            for value in schema.values_mut().filter(|value| *value == fixed) {
                value.clone_from(description);
            }
        }
    }
}

/// Returns the description of `{ __schema { description } }`.
fn fixed_description(data: Value) -> Option<Value> {
    let Value::Object(mut data) = data else { return None };
    let Some(Value::Object(mut schema)) = data.swap_remove("__schema") else { return None };
    schema.swap_remove("description")
}

/// Query root that captures async-graphql's list of extensions, which only async-graphql can create.
struct Probe(Arc<OnceLock<Extensions>>);

#[Object]
impl Probe {
    async fn extensions(&self, ctx: &async_graphql::Context<'_>) -> bool {
        self.0.set(ctx.query_env.extensions.clone()).is_ok()
    }
}

/// Results of an operation's introspection fields, by response key.
struct Introspection(Value);

/// Query root that returns `__schema` and `__type` from the results of introspection.
struct QueryRoot<Q>(Q);

impl<Q: ObjectType> OutputType for QueryRoot<Q> {
    fn type_name() -> Cow<'static, str> {
        Q::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Q::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        resolve(ctx, self, false).await
    }
}

impl<Q: ObjectType> ContainerType for QueryRoot<Q> {
    async fn resolve_field(&self, ctx: &FieldContext<'_>) -> ServerResult<Option<Value>> {
        if let Some(Introspection(Value::Object(answers))) = ctx.data_opt()
            && ctx.item.node.name.node.starts_with("__")
        {
            return Ok(answers.get(&ctx.item.node.response_key().node).cloned());
        }
        self.0.resolve_field(ctx).await
    }
}

/// Resolves the fields of an object. A single field needs none of async-graphql's concurrent resolution.
async fn resolve<T: ContainerType + Sync>(
    ctx: &ContextSelectionSet<'_>,
    object: &T,
    is_serial: bool,
) -> ServerResult<Value> {
    if let [selection] = ctx.item.node.items.as_slice()
        && let Selection::Field(field) = &selection.node
        && field.node.name.node != "__typename"
        && !FieldsAreWatched::in_context(ctx)
    {
        return Ok(match object.resolve_field(&ctx.with_field(field)).await {
            Ok(value) => single_field(&field.node.response_key().node, value.unwrap_or_default()),
            Err(error) => {
                ctx.add_error(error);
                Value::Object(IndexMap::new())
            }
        });
    }
    let resolved =
        if is_serial { resolve_container_serial(ctx, object).await } else { resolve_container(ctx, object).await };
    resolved.map(or_empty)
}

/// Replaces null with an empty object. async-graphql returns null for an object without fields. It would lose objects
/// that it merges with that null.
pub(super) fn or_empty(object: Value) -> Value {
    if object == Value::Null { Value::Object(IndexMap::new()) } else { object }
}

/// Returns an object of one field. Small JSON text stays text.
fn single_field(name: &Name, value: Value) -> Value {
    match value {
        Value::Binary(json) if json.len() <= SMALL => {
            Value::Binary([b"{\"", name.as_bytes(), b"\":", &json, b"}"].concat().into())
        }
        value => Value::Object(IndexMap::from_iter([(name.clone(), value)])),
    }
}

/// Object that the engine resolves instead of async-graphql. Clients mostly select a single field of it.
pub struct SingleField<T>(pub T);

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
