//! Tests of documents, with the default limits and a stack as small as a worker's.

mod attacks;
mod fuzz;
mod prepare;

use std::thread;

use serde_json::json;

use crate::config::graphql::Graphql;
use crate::engine::tests::{call, schema};
use crate::engine::{PreparedOperation, RequestError, prepare::Documents};

pub(crate) fn documents(settings: Graphql) -> Documents {
    Documents::new(settings, schema::builder()).unwrap()
}

fn prepare(documents: &Documents, query: &str) -> Result<PreparedOperation, Vec<RequestError>> {
    documents.prepare(call(query, json!({})))
}

/// Runs work on a stack of a tokio worker's size. An overflow aborts the test binary.
fn on_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}
