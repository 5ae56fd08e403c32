//! Runs operations for every transport, within the rate limits, the concurrency limit and the deadline.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::Instrument;

use crate::domain::{Client, ErrorCode};
use crate::engine::{self, GraphqlRequest, OperationType, PreparedOperation};
use crate::graphql::RequestScope;
use crate::http::answer::{Answer, Caller};
use crate::http::{AppState, access_log::StreamLog, server::deadline::in_time};
use crate::service::{RequestContext, context::rate_limits, metrics};
use crate::telemetry;

/// Permit to run one request now.
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl AppState {
    /// Admits a request unless too many are running. A quick error costs less than a slow answer.
    pub fn admit(&self, client: &Client) -> Result<Permit, Answer> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map(|permit| Permit { _permit: permit }).map_err(|_| Answer::overloaded(&client.request_id))
    }

    /// Prepares a request and charges its cost to the caller's rate limit.
    pub fn prepare(&self, request: GraphqlRequest, caller: &Caller) -> Result<PreparedOperation, Answer> {
        let request_id = &caller.client.request_id;
        let prepared = self.deps.engine.prepare(request).map_err(|refusals| Answer::refusals(refusals, request_id))?;
        rate_limits::spend_cost(&self.deps.backend, &caller.client, caller.viewer.as_ref(), prepared.cost)
            .map_err(|error| Answer::error(&error, request_id))?;
        self.http_metrics.operation(prepared.kind);
        Ok(prepared)
    }

    /// Runs a query or a mutation to its end, on a separate task. Neither a disconnect nor a deadline may stop a
    /// mutation halfway, and a panic ends only its task. A query over a socket needs a task too. While its client does
    /// not read, the socket would not poll the query, which would keep a database connection.
    ///
    /// Starts at once and not when its answer is awaited, because it holds a permit.
    pub fn execute(
        self: &Arc<Self>,
        prepared: PreparedOperation,
        caller: Caller,
        permit: Permit,
    ) -> impl Future<Output = Answer> + use<> {
        let (state, client) = (Arc::clone(self), Arc::clone(&caller.client));
        let runner = Arc::clone(self);
        let work = async move { runner.operation(prepared, caller, permit).await }.in_current_span();
        let task = self.tasks.spawn(telemetry::within(&client, work));
        async move { state.answer(task, &client).await }
    }

    /// Runs a query on its caller's task, without spawning one. A disconnect of its client cancels the query.
    pub async fn read(&self, prepared: PreparedOperation, caller: Caller, permit: Permit) -> Answer {
        let client = Arc::clone(&caller.client);
        let operation = self.operation(prepared, caller, permit);
        self.answer(AssertUnwindSafe(operation).catch_unwind(), &client).await
    }

    /// Executes a subscription. A panic ends its stream with an error.
    pub fn subscribe(self: &Arc<Self>, prepared: PreparedOperation, caller: Caller) -> BoxStream<'static, Answer> {
        let mut stream_log = StreamLog::new(self, &caller, prepared.field.clone());
        let Caller { client, viewer, position } = caller;
        let context = RequestContext::counting(Arc::clone(&self.deps.backend), Arc::clone(&client), viewer);
        let answers = self.deps.engine.subscribe(prepared, RequestScope::of_subscription(context, position));
        AssertUnwindSafe(answers)
            .catch_unwind()
            .map(move |answer| answer.map_or_else(|_| Answer::panicked(&client.request_id), Answer::from))
            .inspect(move |answer| stream_log.note(answer))
            .boxed()
    }

    /// Runs an operation and writes its answer. Holds the permit during both.
    ///
    /// Boxed, because each layer around this future would copy its several kilobytes. Guarded by the benchmark `front`.
    fn operation(&self, prepared: PreparedOperation, caller: Caller, permit: Permit) -> BoxFuture<'_, engine::Answer> {
        Box::pin(async move {
            let backend = Arc::clone(&self.deps.backend);
            let context = match prepared.kind {
                OperationType::Query => RequestContext::new(backend, caller.client, caller.viewer),
                _ => RequestContext::counting(backend, caller.client, caller.viewer),
            };
            let answer = self.deps.engine.execute(prepared, RequestScope::new(context)).await;
            drop(permit);
            answer
        })
    }

    /// Waits for a running operation until its deadline. An error of the operation is a panic.
    async fn answer<E>(&self, operation: impl Future<Output = Result<engine::Answer, E>>, client: &Client) -> Answer {
        let request_id = &client.request_id;
        let began = Instant::now();
        let answer = match in_time(self.deps.http.request_timeout(), operation).await {
            Some(Ok(answer)) => Answer::from(answer),
            Some(Err(_)) => Answer::panicked(request_id),
            None => Answer::failure(
                ErrorCode::DeadlineExceeded,
                "The operation exceeded its time limit; a mutation still completes.",
                request_id,
            ),
        };
        metrics::observe(&self.deps.backend, began.elapsed(), !answer.codes.is_empty());
        answer
    }
}
