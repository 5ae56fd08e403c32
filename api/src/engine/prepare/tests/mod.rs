//! The documents' tests: a schema shaped as the contract, the default limits, and a thread as small as a worker's.

mod attacks;
mod fuzz;
mod prepare;
pub mod result_shape;
pub(crate) mod schema;

use std::{path::PathBuf, thread};

use async_graphql::Variables;
use serde_json::json;

use crate::{
    config::graphql::{Graphql, Mode},
    engine::prepare::{Documents, GraphqlRequest, PreparedOperation, RequestError},
};

/// The defaults of `config.default.toml`.
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
        max_introspection_depth: 16,
        max_introspection_lists: 2,
        default_page_size: 20,
        max_page_size: 100,
    }
}

pub(crate) fn documents(settings: Graphql) -> Documents {
    Documents::new(settings, schema::builder()).unwrap()
}

pub(crate) fn call(query: &str, variables: serde_json::Value) -> GraphqlRequest {
    GraphqlRequest {
        query: Some(query.to_owned()),
        variables: Variables::from_json(variables),
        ..GraphqlRequest::default()
    }
}

fn prepare(documents: &Documents, query: &str) -> Result<PreparedOperation, Vec<RequestError>> {
    documents.prepare(call(query, json!({})))
}

/// Runs on a thread with the stack of a tokio worker: an overflow ends the whole test binary.
fn on_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}
