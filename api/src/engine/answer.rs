//! Answers as JSON: `data` if the operation was executed, and errors with their codes and the request's id. The number
//! and size of errors are bounded.

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;

use crate::budget::{self, OperationMemory};
use crate::domain::ErrorCode;
use crate::engine::{FieldError, RequestError};

/// Maximum number of errors in an answer.
pub(super) const MAX_ERRORS: usize = 10;

/// Maximum size of an answer's errors, in bytes of JSON.
pub(super) const MAX_ERROR_BYTES: usize = 16 * 1024;

/// Maximum size of one error's message, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Initial capacity in bytes, in addition to the JSON text that the answer contains.
const ROOM: usize = 512;

/// Message of an internal error. Only the log holds the cause.
const INTERNAL_MESSAGE: &str = "An internal error occurred: report `extensions.requestId` to the operator.";

/// Result of an operation, or errors of a request, as sent to the client.
#[derive(Debug)]
pub struct Answer {
    /// `{"data": ...}` or `{"errors": ...}`, in UTF-8 without line breaks.
    pub json: Bytes,
    /// The codes of the errors.
    pub codes: Vec<ErrorCode>,
    /// Whether the operation was executed. Fields may have failed.
    pub is_executed: bool,
    /// Longest wait before a retry that any error names, in seconds.
    pub retry_after_seconds: Option<u64>,
    /// Id of the subscription's event, if the context provides an id.
    pub event_id: Option<String>,
}

impl Answer {
    /// Writes a response as JSON, with a code and the request's id in each error.
    pub(crate) fn new(mut response: Response, request_id: &str) -> Self {
        // Without data and without a path in any error, nothing was executed, so `data` is omitted (GraphQL, section
        // 7.1.1).
        let is_executed = response.errors.is_empty()
            || response.data != Value::Null
            || response.errors.iter().any(|error| !error.path.is_empty());
        let retry_after_seconds = response.errors.iter().filter_map(|it| source(it)?.retry_after_seconds()).max();
        let codes = response.errors.iter_mut().take(MAX_ERRORS).map(|error| settle(error, request_id)).collect();
        let mut out = Vec::with_capacity(ROOM + text_bytes(&response.data));
        out.push(b'{');
        if !response.errors.is_empty() {
            write_errors(&mut out, &response.errors);
        }
        if is_executed {
            key(&mut out, "data");
            write_value(&mut out, &response.data);
        }
        out.push(b'}');
        Self { json: out.into(), codes, is_executed, retry_after_seconds, event_id: None }
    }

    /// Returns an answer that was written before.
    pub(super) fn known(json: Bytes) -> Self {
        Self { json, codes: Vec::new(), is_executed: true, retry_after_seconds: None, event_id: None }
    }

    /// Writes the error of an operation that returns no data.
    pub(super) fn failed(error: &FieldError, request_id: &str) -> Self {
        Self::new(Response::from_errors(vec![error.at(Vec::new())]), request_id)
    }

    /// Ends the operation. The answer's bytes stay reserved until the last copy is dropped.
    pub(super) fn holding(mut self, memory: &OperationMemory) -> Self {
        if let Some(reservation) = memory.finish(self.json.len()) {
            self.json = budget::attach(self.json, reservation);
        }
        self
    }

    /// Writes the errors of a request that is not executed.
    #[must_use]
    pub fn refused(errors: Vec<RequestError>, request_id: &str) -> Self {
        Self::new(Response::from_errors(errors.into_iter().map(ServerError::from).collect()), request_id)
    }
}

/// Logs an error's cause, and adds a code and the request's id. An error without a code is internal.
fn settle(error: &mut ServerError, request_id: &str) -> ErrorCode {
    let code = source(error).map_or(ErrorCode::InternalServerError, FieldError::code);
    let cause = source(error).and_then(FieldError::cause);
    if let Some(cause) = cause {
        tracing::error!(request.id = request_id, error.path = path(error), cause, "a field failed");
    }
    if code == ErrorCode::InternalServerError {
        if cause.is_none() {
            tracing::error!(request.id = request_id, error.path = path(error), error.message, "a request failed");
        }
        INTERNAL_MESSAGE.clone_into(&mut error.message);
        error.extensions = None;
    }
    error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    extensions.set("code", code.as_str());
    extensions.set("requestId", request_id);
    code
}

/// Returns the error of a resolver or a check. An error of async-graphql itself has none.
fn source(error: &ServerError) -> Option<&FieldError> {
    error.source::<FieldError>()
}

fn path(error: &ServerError) -> String {
    let segments = error.path.iter().map(|segment| match segment {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(index) => index.to_string(),
    });
    segments.collect::<Vec<_>>().join(".")
}

fn write_errors(out: &mut Vec<u8>, errors: &[ServerError]) {
    out.extend_from_slice(b"\"errors\":[");
    let start = out.len();
    for (index, error) in errors.iter().take(MAX_ERRORS).enumerate() {
        let end = out.len();
        if index > 0 {
            out.push(b',');
        }
        write(out, error);
        // The first error always stays. Its message and the names in its path are bounded.
        if index > 0 && out.len() - start > MAX_ERROR_BYTES {
            out.truncate(end);
            break;
        }
    }
    out.push(b']');
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write(out, &name);
    out.push(b':');
}

/// Returns the size of the parts of an answer that are JSON text already.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Binary(json) => json.len(),
        Value::List(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.values().map(text_bytes).sum(),
        _ => 0,
    }
}

/// Writes a value. Binary values contain JSON text of objects.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Binary(json) => out.extend_from_slice(json),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            for (name, value) in fields {
                key(out, name);
                write_value(out, value);
            }
            out.push(b'}');
        }
        leaf => write(out, leaf),
    }
}

/// Writes a value as JSON, or `null` if serialization fails, so that the answer stays valid.
fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        tracing::error!(error.message = %error, "a value could not be written as JSON");
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}
