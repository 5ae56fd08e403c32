//! The operations that run on one socket, by their ids.

use std::{collections::HashMap, future::pending, sync::Arc, time::Instant};

use futures_util::{
    StreamExt,
    stream::{AbortHandle, Abortable, BoxStream, SelectAll, once},
};

use tracing::Instrument;

use super::message;
use crate::{
    domain::{Client, Viewer},
    graphql::documents::Call,
    http::{
        Front, journal,
        operation::{Answer, Caller, OperationType},
    },
};

/// What an operation has to say: an answer, or that it is complete.
pub type Step = (Arc<str>, Option<Answer>);

/// A set of running operations.
pub struct Operations {
    front: Arc<Front>,
    client: Arc<Client>,
    /// Polled in turn as they become ready, so that a busy one does not starve the others.
    streams: SelectAll<BoxStream<'static, Step>>,
    running: HashMap<Arc<str>, AbortHandle>,
    started: u64,
}

impl Operations {
    /// None yet.
    pub fn new(front: Arc<Front>, client: Arc<Client>) -> Self {
        Self { front, client, streams: SelectAll::new(), running: HashMap::new(), started: 0 }
    }

    /// Whether an operation of this id runs.
    pub fn has(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// Starts one under an id that is free; the error is the answer to it.
    pub fn start(&mut self, id: &str, call: Call, viewer: Option<Viewer>) -> Result<(), Answer> {
        self.started += 1;
        let request_id = format!("{}.{}", self.client.request_id, self.started);
        let client = Arc::new(Client { request_id, ..Client::clone(&self.client) });
        let answers = self.answers(call, Caller { client, viewer, last_event_id: None })?;
        let (handle, registration) = AbortHandle::new_pair();
        let id: Arc<str> = id.into();
        self.running.insert(Arc::clone(&id), handle);
        let steps = answers.map(Some).chain(once(async { None })).map(move |step| (Arc::clone(&id), step));
        self.streams.push(Abortable::new(steps, registration).boxed());
        Ok(())
    }

    /// Stops one. Its stream is dropped when its turn comes, without another item.
    pub fn stop(&mut self, id: &str) {
        if let Some(operation) = self.running.remove(id) {
            operation.abort();
        }
    }

    /// Waits for what the next one has to say. May be dropped and called again.
    pub async fn next(&mut self) -> Step {
        match self.streams.next().await {
            Some(step) => step,
            None => pending().await,
        }
    }

    /// The message that a step becomes. An error is the last word on its operation.
    pub fn message(&mut self, (id, answer): Step) -> String {
        if let Some(answer) = &answer {
            self.front.tally.answer(answer);
        }
        match answer {
            Some(answer) if answer.ran() => message::next(&id, &answer),
            Some(answer) => {
                self.stop(&id);
                message::error(&id, &answer)
            }
            None => {
                self.running.remove(&id);
                message::complete(&id)
            }
        }
    }

    fn answers(&self, call: Call, caller: Caller) -> Result<BoxStream<'static, Answer>, Answer> {
        if self.running.len() >= self.front.parts.sockets.max_subscriptions {
            return Err(Answer::too_many_operations(&caller.client.request_id));
        }
        let prepared = self.front.prepare(call, &caller)?;
        if prepared.kind == OperationType::Subscription {
            return Ok(self.front.subscribe(prepared, caller));
        }
        let permit = self.front.admit(&caller.client)?;
        let (front, began, kind) = (Arc::clone(&self.front), Instant::now(), prepared.kind);
        let span = tracing::info_span!("request", request.id = caller.client.request_id, otel.kind = "server");
        let operation = async move {
            let answer = front.execute(prepared, caller.clone(), permit).await;
            journal::operation(&caller, kind, began, &answer);
            answer
        };
        Ok(once(operation.instrument(span)).boxed())
    }
}
