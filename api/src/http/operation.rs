//! Runs operations for every transport: within the limits, the deadline and a task where one is needed.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use poem::http::StatusCode;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::Instrument;

use crate::{
    domain::{Client, ErrorCode, Viewer},
    engine::{self, GraphqlRequest, PreparedOperation, RequestError},
    graphql::{RequestScope, StreamPosition},
    http::{AppState, access_log::StreamLog, server::deadline::in_time},
    service::{self, RequestContext, context::rate_limits, metrics},
    telemetry,
};

/// On whose behalf an operation runs.
#[derive(Clone)]
pub struct Caller {
    /// Where it comes from.
    pub client: Arc<Client>,
    /// Who asks, if someone is signed in.
    pub viewer: Option<Viewer>,
    /// Where its event stream is, if it asked for one.
    pub position: Option<Arc<StreamPosition>>,
}

/// A finished answer: the JSON of one execution result.
pub struct Answer {
    /// `{"data": …}` or `{"errors": …}`, in UTF-8.
    pub body: Bytes,
    /// How it came about.
    pub outcome: Outcome,
    /// When to try again, if an error says so.
    pub retry_after_seconds: Option<u64>,
    /// The cursor of a feed's event, on an event stream.
    pub cursor: Option<String>,
    /// The codes of its errors.
    pub codes: Vec<ErrorCode>,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation ran, perhaps with errors in fields.
    Executed,
    /// The request was understood and refused before it ran; the status is what it deserves.
    Refused(StatusCode),
    /// The request is not one of GraphQL over HTTP, or now is no time for it.
    Rejected(StatusCode),
}

/// The right to run one request now.
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl AppState {
    /// Lets a request in, unless too many are running: a quick refusal costs less than a slow answer.
    pub fn admit(&self, client: &Client) -> Result<Permit, Answer> {
        let busy = || Answer::refusals(vec![overloaded()], &client.request_id);
        Arc::clone(&self.permits).try_acquire_owned().map(|permit| Permit { _permit: permit }).map_err(|_| busy())
    }

    /// Prepares a request and takes its cost from the caller's limit.
    pub fn prepare(&self, request: GraphqlRequest, caller: &Caller) -> Result<PreparedOperation, Answer> {
        let request_id = &caller.client.request_id;
        let prepared = self.deps.engine.prepare(request).map_err(|refusals| Answer::refusals(refusals, request_id))?;
        rate_limits::spend_cost(&self.deps.backend, &caller.client, caller.viewer.as_ref(), prepared.cost)
            .map_err(|error| Answer::error(&error, request_id))?;
        self.http_metrics.operation(prepared.kind);
        Ok(prepared)
    }

    /// Runs a query or a mutation to its end, on a task of its own: neither a client that goes away nor a deadline
    /// may cut a mutation in two, and a panic ends nothing but itself. A query of a socket needs one too: while its
    /// client does not read, the socket would not go on with it, and it would keep a connection of the database.
    ///
    /// It runs from now on and not from when its answer is waited for, because it holds a place of all requests.
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

    /// Runs a query on its caller's own task, which is cheaper: it goes on for as long as the client waits for it.
    pub async fn read(&self, prepared: PreparedOperation, caller: Caller, permit: Permit) -> Answer {
        let client = Arc::clone(&caller.client);
        let operation = self.operation(prepared, caller, permit);
        self.answer(AssertUnwindSafe(operation).catch_unwind(), &client).await
    }

    /// Follows a subscription. A panic ends its stream with an error.
    pub fn subscribe(self: &Arc<Self>, prepared: PreparedOperation, caller: Caller) -> BoxStream<'static, Answer> {
        let mut stream_log = StreamLog::new(self, &caller, prepared.field.clone());
        let Caller { client, viewer, position } = caller;
        let context = RequestContext::new(Arc::clone(&self.deps.backend), Arc::clone(&client), viewer);
        let answers = self.deps.engine.subscribe(prepared, RequestScope::of_subscription(context, position));
        AssertUnwindSafe(answers)
            .catch_unwind()
            .map(move |answer| answer.map_or_else(|_| Answer::panicked(&client.request_id), Answer::from))
            .inspect(move |answer| stream_log.note(answer))
            .boxed()
    }

    /// Boxed, because the future is some kilobytes that each layer around it would copy.
    fn operation(&self, prepared: PreparedOperation, caller: Caller, permit: Permit) -> BoxFuture<'_, engine::Answer> {
        Box::pin(async move {
            let context = RequestContext::new(Arc::clone(&self.deps.backend), caller.client, caller.viewer);
            let answer = self.deps.engine.execute(prepared, RequestScope::new(context)).await;
            drop(permit);
            answer
        })
    }

    /// The answer that a running operation comes to before the deadline; its error is a panic.
    async fn answer<E>(&self, operation: impl Future<Output = Result<engine::Answer, E>>, client: &Client) -> Answer {
        let request_id = &client.request_id;
        let began = Instant::now();
        let answer = match in_time(self.deps.http.request_timeout(), operation).await {
            Some(Ok(answer)) => Answer::from(answer),
            Some(Err(_)) => Answer::panicked(request_id),
            None => Answer::failure(ErrorCode::DeadlineExceeded, "The operation took too long.", request_id),
        };
        metrics::observe(&self.deps.backend, began.elapsed(), !answer.codes.is_empty());
        answer
    }
}

impl Answer {
    /// What a failed use case of the front itself, such as a token that is not valid, is answered with.
    pub fn error(error: &service::Error, request_id: &str) -> Self {
        if let Some(cause) = error.cause() {
            tracing::error!(request.id = request_id, error.code = error.code().as_str(), cause, "a request failed");
        }
        let extensions = error.fields();
        Self::refusals(
            vec![RequestError { extensions, ..RequestError::new(error.code(), error.to_string()) }],
            request_id,
        )
    }

    /// A request that is not one of GraphQL over HTTP.
    pub fn rejection(status: StatusCode, message: &str, request_id: &str) -> Self {
        let answer = Self::failure(ErrorCode::BadRequest, message, request_id);
        Self { outcome: Outcome::Rejected(status), ..answer }
    }

    /// One more than a connection or a user may have at the same time.
    pub fn too_many(message: &str, request_id: &str) -> Self {
        Self::refusals(vec![retry_soon(RequestError::new(ErrorCode::RateLimited, message))], request_id)
    }

    /// Whether the operation ran, so that this is a result and not a refusal.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Executed
    }

    pub fn failure(code: ErrorCode, message: &str, request_id: &str) -> Self {
        Self::refusals(vec![RequestError::new(code, message)], request_id)
    }

    fn panicked(request_id: &str) -> Self {
        Self::failure(ErrorCode::InternalServerError, "The server failed.", request_id)
    }

    fn refusals(errors: Vec<RequestError>, request_id: &str) -> Self {
        engine::Answer::refused(errors, request_id).into()
    }
}

impl From<engine::Answer> for Answer {
    fn from(answer: engine::Answer) -> Self {
        let engine::Answer { json, codes, is_executed, retry_after_seconds, event_id } = answer;
        let outcome = codes.first().filter(|_| !is_executed).map_or(Outcome::Executed, |code| outcome(*code));
        Self { body: json, outcome, retry_after_seconds, cursor: event_id, codes }
    }
}

/// What a code means over HTTP. A client that is to come back later is told so by the status whatever it accepts,
/// because proxies and retry logic look at nothing else.
fn outcome(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::BadRequest => Outcome::Rejected(StatusCode::BAD_REQUEST),
        ErrorCode::RateLimited => Outcome::Rejected(StatusCode::TOO_MANY_REQUESTS),
        ErrorCode::Unavailable => Outcome::Rejected(StatusCode::SERVICE_UNAVAILABLE),
        ErrorCode::Unauthenticated => Outcome::Refused(StatusCode::UNAUTHORIZED),
        ErrorCode::Forbidden => Outcome::Refused(StatusCode::FORBIDDEN),
        ErrorCode::DeadlineExceeded => Outcome::Refused(StatusCode::GATEWAY_TIMEOUT),
        ErrorCode::InternalServerError => Outcome::Refused(StatusCode::INTERNAL_SERVER_ERROR),
        _ => Outcome::Refused(StatusCode::BAD_REQUEST),
    }
}

fn overloaded() -> RequestError {
    retry_soon(RequestError::new(ErrorCode::Unavailable, "The server is busy: try again."))
}

fn retry_soon(error: RequestError) -> RequestError {
    error.with("retryAfterSeconds", 1)
}
