//! Runs operations and turns what comes of them into finished answers, for every transport.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc};

pub use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError, Value};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use poem::http::StatusCode;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::Instrument;

use crate::{
    domain::{Client, ErrorCode, Viewer},
    engine::{
        load_queue::Loads,
        prepare::{GraphqlRequest, PreparedOperation, RequestError},
        response::{self, Finished},
    },
    graphql::StreamPosition,
    http::{AppState, server::deadline::in_time},
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

    /// Takes a call through the guard, the parser and the persisted queries, and counts what it may cost.
    pub fn prepare(&self, call: GraphqlRequest, caller: &Caller) -> Result<PreparedOperation, Answer> {
        let request_id = &caller.client.request_id;
        let prepared = self.deps.documents.prepare(call).map_err(|refusals| Answer::refusals(refusals, request_id))?;
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

    /// In a box, because the future is some kilobytes that would be copied at every layer around it.
    fn operation(&self, prepared: PreparedOperation, caller: Caller, permit: Permit) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let (loads, shape) = (Loads::default(), Arc::clone(&prepared.shape));
            let op = RequestContext::new(Arc::clone(&self.deps.backend), caller.client, caller.viewer);
            let answering = pin!(self.deps.schema.execute(prepared, op, loads.clone()));
            let mut response = loads.drive(answering).await;
            shape.restore(&mut response);
            drop(permit);
            response
        })
    }

    /// The answer that a running operation comes to before the deadline; its error is a panic.
    async fn answer<E>(&self, operation: impl Future<Output = Result<Response, E>>, client: &Client) -> Answer {
        let request_id = &client.request_id;
        let began = Instant::now();
        let answer = match in_time(self.deps.http.request_timeout(), operation).await {
            Some(Ok(response)) => Answer::new(response, request_id),
            Some(Err(_)) => Answer::failure(ErrorCode::InternalServerError, "The server failed.", request_id),
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
        let refusal = RequestError { fields: error.fields(), ..RequestError::new(error.code(), error.to_string()) };
        Self::refusals(vec![refusal], request_id)
    }

    /// A request that is not one of GraphQL over HTTP.
    pub fn rejection(status: StatusCode, message: &str, request_id: &str) -> Self {
        let answer = Self::failure(ErrorCode::BadRequest, message, request_id);
        Self { outcome: Outcome::Rejected(status), ..answer }
    }

    /// One more than a connection or a user may have at the same time.
    pub fn too_many(message: &str, request_id: &str) -> Self {
        let refusal = RequestError::new(ErrorCode::RateLimited, message);
        Self::refusals(vec![retry_soon(refusal)], request_id)
    }

    /// Whether the operation ran, so that this is a result and not a refusal.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Executed
    }

    pub fn failure(code: ErrorCode, message: &str, request_id: &str) -> Self {
        Self::refusals(vec![RequestError::new(code, message)], request_id)
    }

    fn refusals(refusals: Vec<RequestError>, request_id: &str) -> Self {
        let outcome = refusals.first().map_or(Outcome::Executed, |refusal| outcome(refusal.code));
        let errors = refusals.into_iter().map(ServerError::from).collect();
        Self { outcome, ..Self::new(Response::from_errors(errors), request_id) }
    }

    pub fn new(response: Response, request_id: &str) -> Self {
        let outcome = if response::is_request_error(&response) {
            Outcome::Refused(StatusCode::BAD_REQUEST)
        } else {
            Outcome::Executed
        };
        let retry_after_seconds = response.errors.iter().filter_map(retry_after_seconds).max();
        let Finished { body, codes } = response::finish(response, request_id);
        Self { body, outcome, retry_after_seconds, cursor: None, codes }
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

fn retry_soon(refusal: RequestError) -> RequestError {
    RequestError { fields: vec![("retryAfterSeconds", 1.into())], ..refusal }
}

fn retry_after_seconds(error: &ServerError) -> Option<u64> {
    match error.extensions.as_ref()?.get("retryAfterSeconds")? {
        Value::Number(seconds) => seconds.as_u64(),
        _ => None,
    }
}
