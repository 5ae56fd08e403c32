//! The documents' tests: a schema shaped as the contract, the default limits, and a thread as small as a worker's.

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

/// Runs on a thread with the stack of a tokio worker: an overflow ends the whole test binary.
fn on_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}
