//! Runs GraphQL requests over any schema: prepares documents, executes operations, writes answers as JSON.
//!
//! A transport calls [`Engine::prepare`], then [`Engine::execute`] for queries and mutations or [`Engine::subscribe`]
//! for subscriptions. The schema provides its root types and a [`Context`].

mod answer;
mod context;
mod executor;
mod field_error;
mod field_spans;
mod load_queue;
pub mod object;
mod prepare;
mod request;
mod request_error;
mod result_shape;
mod subscription;
#[cfg(test)]
mod tests;

use std::{pin::pin, sync::Arc};

use async_graphql::{ObjectType, Response, SchemaBuilder, SubscriptionType, extensions::ExtensionFactory};
use futures_util::stream::BoxStream;

use crate::config::graphql::Graphql;
use crate::engine::{executor::Executor, prepare::Documents};

pub use self::answer::Answer;
#[cfg(test)]
pub(crate) use self::context::FieldsAreWatched;
pub use self::context::{Context, EventSource};
pub use self::executor::SingleField;
pub use self::field_error::FieldError;
pub(crate) use self::field_spans::FieldSpans;
pub use self::load_queue::LoadQueue;
pub use self::prepare::{PreparedOperation, SetupError, check_text};
pub use self::request::{GraphqlRequest, NO_JSON, QueryString};
pub use self::request_error::RequestError;
pub use async_graphql::parser::types::OperationType;

/// A schema: how the library builds it, and its description, because async-graphql has a fixed one.
pub struct Definition<Q, M, S> {
    /// Starts building the schema.
    pub build: fn() -> SchemaBuilder<Q, M, S>,
    /// Description of the schema (`__schema.description`).
    pub description: &'static str,
}

/// GraphQL engine of one schema.
pub struct Engine<Q, M, S> {
    documents: Documents,
    executor: Arc<Executor<Q, M, S>>,
}

impl<Q, M, S> Engine<Q, M, S>
where
    Q: ObjectType + Default + 'static,
    M: ObjectType + Default + 'static,
    S: SubscriptionType + Default + 'static,
{
    /// Creates an engine for a schema. With `traces_fields` each field of a root or a payload gets a span.
    pub fn new(schema: &Definition<Q, M, S>, settings: Graphql, traces_fields: bool) -> Result<Self, SetupError> {
        Self::with_extension(schema, settings, traces_fields.then_some(FieldSpans))
    }

    /// Creates an engine with an extension that receives each field that async-graphql resolves.
    pub(crate) fn with_extension(
        schema: &Definition<Q, M, S>,
        settings: Graphql,
        extension: Option<impl ExtensionFactory>,
    ) -> Result<Self, SetupError> {
        let documents = Documents::new(settings, (schema.build)())?;
        let executor = Executor::new(schema, documents.types(), extension).ok_or(SetupError::Library)?;
        Ok(Self { documents, executor: Arc::new(executor) })
    }

    /// Finds or checks a request's document, checks its variables and computes its cost.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<PreparedOperation, Vec<RequestError>> {
        self.documents.prepare(request)
    }

    /// Returns the types of the schema.
    #[cfg(test)]
    pub(crate) fn types(&self) -> &async_graphql::SchemaEnv {
        self.documents.types()
    }

    /// Executes a query or a mutation, and the loads that its fields request.
    pub async fn execute<C: Context>(&self, prepared: PreparedOperation, context: C) -> Answer {
        if let Some(answer) = prepared.known_answer {
            return Answer::known(answer);
        }
        let (shape, introspection) = (Arc::clone(&prepared.shape), prepared.introspection);
        let executing = pin!(self.executor.execute(prepared, context.clone()));
        let mut response = match context.loads().cloned() {
            Some(loads) => loads.drive(executing).await,
            None => executing.await,
        };
        shape.restore(&mut response);
        let answer = finish(response, &context);
        if let Some(document) = introspection.filter(|_| answer.codes.is_empty()) {
            self.documents.keep_introspection(document, &answer.json);
        }
        answer
    }

    /// Follows a subscription. Yields one answer per event.
    pub fn subscribe<C: Context>(&self, prepared: PreparedOperation, context: C) -> BoxStream<'static, Answer> {
        subscription::follow(Arc::clone(&self.executor), prepared, context)
    }
}

/// Writes the answer of an executed operation, unless the operation got no more memory.
fn finish<C: Context>(response: Response, context: &C) -> Answer {
    let memory = context.memory();
    let answer = match memory.exceeded() {
        Some(exceeded) => Answer::failed(&context.out_of_memory(exceeded), context.request_id()),
        None => Answer::new(response, context.request_id()),
    };
    answer.holding(memory)
}
