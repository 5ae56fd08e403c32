//! Answers to operations as transports send them, each with its outcome.

use std::sync::Arc;

use bytes::Bytes;
use poem::Response;
use poem::http::{StatusCode, header};

use crate::budget::Exhausted;
use crate::domain::{Client, ErrorCode, Viewer};
use crate::engine::{self, RequestError};
use crate::graphql::StreamPosition;
use crate::service;

/// Client and user that an operation runs for.
#[derive(Clone)]
pub struct Caller {
    /// Client that sent the request.
    pub client: Arc<Client>,
    /// Signed-in user, if any.
    pub viewer: Option<Viewer>,
    /// Position of the client's event stream, if it accepts one.
    pub position: Option<Arc<StreamPosition>>,
}

/// Answer to one operation: the JSON of its execution result.
pub struct Answer {
    /// `{"data": …}` or `{"errors": …}`, in UTF-8.
    pub body: Bytes,
    /// Whether the operation ran, and the HTTP status if it did not.
    pub outcome: Outcome,
    /// Seconds to wait before a retry, if an error contains them.
    pub retry_after_seconds: Option<u64>,
    /// Cursor of a feed's event, on an event stream.
    pub cursor: Option<String>,
    /// Codes of all errors.
    pub codes: Vec<ErrorCode>,
}

/// Outcome of a request, from which its HTTP status follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation ran, perhaps with errors in fields.
    Executed,
    /// The request was well formed but failed before it ran. Under `application/json` the status is 200 instead.
    Refused(StatusCode),
    /// The request is not valid GraphQL over HTTP, or must be retried later. Every client gets the status.
    Rejected(StatusCode),
}

impl Answer {
    /// Creates the answer for an error of a use case that a transport called, such as a token check.
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

    /// Creates the answer to a request that is not valid GraphQL over HTTP.
    pub fn rejection(status: StatusCode, message: &str, request_id: &str) -> Self {
        let answer = Self::failure(ErrorCode::BadRequest, message, request_id);
        Self { outcome: Outcome::Rejected(status), ..answer }
    }

    /// Creates the answer to a request that exceeds the concurrency limit of a connection or a user.
    pub fn too_many(message: &str, request_id: &str) -> Self {
        Self::refusals(vec![retry_soon(RequestError::new(ErrorCode::RateLimited, message))], request_id)
    }

    /// Creates the answer of a node that already runs as many requests as it may.
    pub fn overloaded(request_id: &str) -> Self {
        let error = RequestError::new(
            ErrorCode::Unavailable,
            "The server is busy: retry after `extensions.retryAfterSeconds`.",
        );
        Self::refusals(vec![retry_soon(error)], request_id)
    }

    /// Whether the operation ran, so that this is a result and not a request error.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Executed
    }

    /// Creates an answer with one error and no data.
    pub fn failure(code: ErrorCode, message: &str, request_id: &str) -> Self {
        Self::refusals(vec![RequestError::new(code, message)], request_id)
    }

    /// Creates the answer to an operation that panicked.
    pub fn panicked(request_id: &str) -> Self {
        Self::failure(ErrorCode::InternalServerError, "The operation panicked.", request_id)
    }

    /// Creates the answer to a request that is not executed.
    pub fn refusals(errors: Vec<RequestError>, request_id: &str) -> Self {
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

/// Maps an error code to an outcome. Proxies and retry logic read only the status. So a code that means "retry later"
/// sets the status for every media type.
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

fn retry_soon(error: RequestError) -> RequestError {
    error.with("retryAfterSeconds", 1)
}

/// Responds to a request for which the node has no slot.
pub fn exhausted(exhausted: Exhausted, request_id: &str) -> Response {
    let answer = Answer::error(&exhausted.into(), request_id);
    let status = match exhausted {
        Exhausted::Holder => StatusCode::TOO_MANY_REQUESTS,
        Exhausted::Node => StatusCode::SERVICE_UNAVAILABLE,
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header(header::RETRY_AFTER, answer.retry_after_seconds.unwrap_or(1))
        .body(answer.body)
}
