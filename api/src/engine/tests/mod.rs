//! Tests of the engine, over a small schema in the shape of the API's.

mod answer;
mod execute;
mod result_shape;
pub(super) mod schema;

use std::{path::PathBuf, sync::Arc};

use async_graphql::{ObjectType, SubscriptionType, Variables};

use crate::budget::{Budget, Exceeded, Holder, Limits, OperationMemory, Policy};
use crate::config::graphql::{Graphql, Mode};
use crate::domain::ErrorCode;
use crate::engine::{Answer, Context, Engine, EventSource, FieldError, GraphqlRequest, LoadQueue};

/// The id of each request.
const ID: &str = "request-1";

/// The context of a schema whose objects load nothing.
#[derive(Clone)]
pub(super) struct TestContext(Arc<OperationMemory>);

impl Default for TestContext {
    fn default() -> Self {
        let budget = Budget::new(Limits { node: 1 << 28, network: 1 << 25, user: 1 << 25, small: 1 << 20 });
        Self(Arc::new(OperationMemory::new(&budget, Holder::network(None), Policy::Refuse, 1 << 23)))
    }
}

impl Context for TestContext {
    type Loaded = ();
    type Missing = ();

    async fn load(&self, (): &mut (), (): ()) {}

    fn loaded_count((): &()) -> usize {
        0
    }

    fn request_id(&self) -> &str {
        ID
    }

    fn memory(&self) -> &OperationMemory {
        &self.0
    }

    fn out_of_memory(&self, exceeded: Exceeded) -> FieldError {
        FieldError::new(ErrorCode::TooComplex, format!("{exceeded:?}"), Vec::new(), None)
    }

    fn loads(&self) -> Option<&LoadQueue> {
        None
    }

    fn event_source(&self) -> Option<&dyn EventSource> {
        None
    }

    fn for_next_event(&self) -> Self {
        self.clone()
    }

    fn take_event_id(&self) -> Option<String> {
        None
    }
}

/// Returns the defaults of `config.default.toml`.
pub(crate) fn limits(mode: Mode) -> Graphql {
    Graphql {
        mode,
        graphiql_dir: PathBuf::new(),
        manifest: PathBuf::new(),
        document_cache_bytes: 1 << 24,
        max_document_bytes: 16_384,
        max_tokens: 1_000,
        max_bracket_depth: 32,
        max_operations: 10,
        max_fragments: 50,
        max_directives: 20,
        max_aliases: 30,
        max_root_fields: 20,
        max_nodes: 2_000,
        max_depth: 10,
        max_complexity: 1_000,
        max_answer_bytes: 1 << 23,
        max_introspection_depth: 16,
        max_introspection_lists: 2,
        default_page_size: 20,
        max_page_size: 100,
    }
}

pub(crate) fn call(query: &str, variables: serde_json::Value) -> GraphqlRequest {
    GraphqlRequest {
        query: Some(query.to_owned()),
        variables: Variables::from_json(variables),
        ..GraphqlRequest::default()
    }
}

/// Returns the answer to a request as the client receives it.
async fn run<Q, M, S>(engine: &Engine<Q, M, S>, request: GraphqlRequest) -> Answer
where
    Q: ObjectType + Default + 'static,
    M: ObjectType + Default + 'static,
    S: SubscriptionType + Default + 'static,
{
    match engine.prepare(request) {
        Ok(prepared) => engine.execute(prepared, TestContext::default()).await,
        Err(errors) => Answer::refused(errors, ID),
    }
}
