//! Answers as transports send them, and how they came about.

use std::sync::Arc;

use bytes::Bytes;
use poem::http::StatusCode;

use crate::domain::{Client, ErrorCode, Viewer};
use crate::engine::{self, RequestError};
use crate::graphql::StreamPosition;
use crate::service;

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

impl Answer {
    /// Answers an error of a use case that a transport called itself, such as the check of a token.
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

    /// A node that is busy.
    pub fn overloaded(request_id: &str) -> Self {
        let error = RequestError::new(ErrorCode::Unavailable, "The server is busy: try again.");
        Self::refusals(vec![retry_soon(error)], request_id)
    }

    /// Whether the operation ran, so that this is a result and not a refusal.
    pub fn ran(&self) -> bool {
        self.outcome == Outcome::Executed
    }

    /// An operation that failed as a whole.
    pub fn failure(code: ErrorCode, message: &str, request_id: &str) -> Self {
        Self::refusals(vec![RequestError::new(code, message)], request_id)
    }

    /// An operation that panicked.
    pub fn panicked(request_id: &str) -> Self {
        Self::failure(ErrorCode::InternalServerError, "The server failed.", request_id)
    }

    /// A request that is not executed.
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

fn retry_soon(error: RequestError) -> RequestError {
    error.with("retryAfterSeconds", 1)
}
