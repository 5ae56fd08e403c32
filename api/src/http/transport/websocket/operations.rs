//! Operations that run on one socket, by their ids.

use std::{collections::HashMap, future::pending, sync::Arc, time::Instant};

use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, SelectAll, once};

use tracing::Instrument;

use crate::domain::{Client, Viewer};
use crate::engine::{GraphqlRequest, OperationType};
use crate::http::answer::{Answer, Caller};
use crate::http::{AppState, access_log, transport::websocket::protocol};

/// Step of an operation: an answer, or its completion.
pub type Step = (Arc<str>, Option<Answer>);

/// Operations of one socket.
pub struct Operations {
    state: Arc<AppState>,
    client: Arc<Client>,
    running: Running<Answer>,
    started: u64,
}

/// Streams by their ids.
struct Running<T> {
    /// Polled in turn as they become ready, so that a busy stream does not starve the others.
    streams: SelectAll<BoxStream<'static, (Arc<str>, Option<T>)>>,
    handles: HashMap<Arc<str>, AbortHandle>,
}

impl Operations {
    /// Creates an empty set of operations.
    pub fn new(state: Arc<AppState>, client: Arc<Client>) -> Self {
        Self { state, client, running: Running::new(), started: 0 }
    }

    /// Whether no operation runs.
    pub fn is_empty(&self) -> bool {
        self.running.handles.is_empty()
    }

    /// Whether an operation with this id runs.
    pub fn has(&self, id: &str) -> bool {
        self.running.handles.contains_key(id)
    }

    /// Starts an operation under an unused id. An error is the answer to it.
    pub fn start(&mut self, id: &str, request: GraphqlRequest, viewer: Option<Viewer>) -> Result<(), Answer> {
        self.started += 1;
        let request_id = format!("{}.{}", self.client.request_id, self.started);
        let client = Arc::new(Client { request_id, ..Client::clone(&self.client) });
        let answers = self.answers(request, Caller { client, viewer, position: None })?;
        self.running.add(id.into(), answers);
        Ok(())
    }

    /// Stops an operation. Its stream is dropped at its next turn, without another item.
    pub fn stop(&mut self, id: &str) {
        self.running.stop(id);
    }

    /// Waits for the next step of any operation. Cancel safe.
    pub async fn next(&mut self) -> Step {
        self.running.next().await
    }

    /// Returns the message for a step. An error ends its operation.
    pub fn message(&mut self, (id, answer): Step) -> String {
        if let Some(answer) = &answer {
            self.state.http_metrics.answer(answer);
        }
        match answer {
            Some(answer) if answer.ran() => protocol::next(&id, &answer),
            Some(answer) => {
                self.stop(&id);
                protocol::error(&id, &answer)
            }
            None => {
                self.running.handles.remove(&id);
                protocol::complete(&id)
            }
        }
    }

    fn answers(&self, request: GraphqlRequest, caller: Caller) -> Result<BoxStream<'static, Answer>, Answer> {
        if self.running.handles.len() >= self.state.deps.sockets.max_subscriptions {
            let message = "Too many operations run on this connection: complete one.";
            return Err(Answer::too_many(message, &caller.client.request_id));
        }
        let prepared = self.state.prepare(request, &caller)?;
        if prepared.kind == OperationType::Subscription {
            return Ok(self.state.subscribe(prepared, caller));
        }
        let permit = self.state.admit(&caller.client)?;
        let (began, kind) = (Instant::now(), prepared.kind);
        let span = tracing::info_span!("request", request.id = caller.client.request_id, otel.kind = "server");
        let answer = span.in_scope(|| self.state.execute(prepared, caller.clone(), permit));
        let operation = async move {
            let answer = answer.await;
            access_log::operation(&caller, kind, began, &answer);
            answer
        };
        Ok(once(operation.instrument(span)).boxed())
    }
}

impl<T: Send + 'static> Running<T> {
    fn new() -> Self {
        Self { streams: SelectAll::new(), handles: HashMap::new() }
    }

    /// Adds a stream under an unused id. Its end is reported once.
    fn add(&mut self, id: Arc<str>, items: BoxStream<'static, T>) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(Arc::clone(&id), handle);
        let steps = items.map(Some).chain(once(async { None })).map(move |step| (Arc::clone(&id), step));
        self.streams.push(Abortable::new(steps, registration).boxed());
    }

    fn stop(&mut self, id: &str) {
        if let Some(stream) = self.handles.remove(id) {
            stream.abort();
        }
    }

    async fn next(&mut self) -> (Arc<str>, Option<T>) {
        match self.streams.next().await {
            Some(step) => step,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::{FutureExt, stream::repeat};

    use super::*;

    #[tokio::test]
    async fn streams_that_always_have_something_to_say_take_turns() {
        let mut running = Running::new();
        for id in ["a", "b", "c"] {
            running.add(id.into(), repeat(1).boxed());
        }
        running.add("short".into(), once(async { 2 }).boxed());
        for _ in 0..2 {
            let round = [running.next().await, running.next().await, running.next().await, running.next().await];
            let ids: HashSet<_> = round.iter().map(|(id, _)| &**id).collect();
            assert_eq!(ids, HashSet::from(["a", "b", "c", "short"]));
        }
        running.stop("b");
        for _ in 0..100 {
            let round = [running.next().await.0, running.next().await.0];
            assert!(round.contains(&"a".into()) && round.contains(&"c".into()), "{round:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_once_and_a_stopped_one_not_at_all() {
        let mut running = Running::new();
        running.add("one".into(), once(async { 1 }).boxed());
        running.add("two".into(), once(async { 2 }).boxed());
        running.stop("two");
        assert_eq!(running.next().await, ("one".into(), Some(1)));
        assert_eq!(running.next().await, ("one".into(), None));
        assert!(running.next().now_or_never().is_none());
    }
}
