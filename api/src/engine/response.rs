//! The answer as bytes: every error with its code and the request's id, few errors, and no `data` where nothing ran.

#[cfg(test)]
mod tests;

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};
use bytes::Bytes;
use serde::Serialize;

use crate::{domain::ErrorCode, engine::prepare::RequestError, service};

/// The most errors that an answer carries.
const MAX_ERRORS: usize = 10;

/// The most bytes of errors that an answer carries.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// The most bytes of one error's message.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Room for a small answer, or for what is around a large one.
const ROOM: usize = 512;

/// What a client hears of a fault of ours.
const INTERNAL_MESSAGE: &str = "Something went wrong here; the request's id leads to it in the server's log.";

/// How the library begins the message of an argument that it could not read into its Rust type. It marks such errors
/// in no other way.
const UNREADABLE_INPUT: [&str; 2] = ["Failed to parse \"", "Expected input type \""];

/// An answer as it goes out.
#[derive(Debug)]
pub struct Finished {
    /// The JSON.
    pub body: Bytes,
    /// The codes of its errors.
    pub codes: Vec<ErrorCode>,
}

/// An executed request's answer as JSON.
#[must_use]
pub fn finish(mut response: Response, request_id: &str) -> Finished {
    // An error of execution has a path; where none has one, nothing was executed, and `data` has no place (7.1.1).
    let is_request_error = is_request_error(&response);
    let codes = response.errors.iter_mut().take(MAX_ERRORS).map(|error| settle(error, request_id)).collect();
    let mut out = Vec::with_capacity(ROOM + written(&response.data));
    out.push(b'{');
    if !response.errors.is_empty() {
        write_errors(&mut out, &response.errors);
    }
    if !is_request_error {
        key(&mut out, "data");
        write_value(&mut out, &response.data);
    }
    if !response.extensions.is_empty() {
        member(&mut out, "extensions", &response.extensions);
    }
    out.push(b'}');
    Finished { body: out.into(), codes }
}

/// Whether a response says that its request was not executed.
#[must_use]
pub fn is_request_error(response: &Response) -> bool {
    !response.errors.is_empty()
        && response.data == Value::Null
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The answer to a request that does not run, as JSON.
#[must_use]
pub fn refusal_json(refusals: Vec<RequestError>, request_id: &str) -> Bytes {
    finish(Response::from_errors(refusals.into_iter().map(ServerError::from).collect()), request_id).body
}

/// Gives an error its code and the request's id; what nobody gave a known code is a fault of ours.
fn settle(error: &mut ServerError, request_id: &str) -> ErrorCode {
    let cause = error.source::<service::Error>().and_then(service::Error::cause);
    if let Some(cause) = cause {
        tracing::error!(request.id = request_id, error.path = path(error), cause, "a field failed");
    }
    let is_logged = cause.is_some();
    let code = match code(error) {
        Some(code) => code,
        None if UNREADABLE_INPUT.iter().any(|start| error.message.starts_with(start)) => {
            "The value of an argument is not acceptable.".clone_into(&mut error.message);
            let field = path(error);
            extensions(error).set("field", field);
            ErrorCode::BadUserInput
        }
        None => ErrorCode::InternalServerError,
    };
    if code == ErrorCode::InternalServerError {
        if !is_logged {
            tracing::error!(request.id = request_id, error.path = path(error), error.message, "a request failed");
        }
        INTERNAL_MESSAGE.clone_into(&mut error.message);
        error.extensions = None;
    }
    error.message.truncate(error.message.floor_char_boundary(MAX_MESSAGE_BYTES));
    let extensions = extensions(error);
    extensions.set("code", code.as_str());
    extensions.set("requestId", request_id);
    code
}

fn code(error: &ServerError) -> Option<ErrorCode> {
    let Some(Value::String(code)) = error.extensions.as_ref()?.get("code") else { return None };
    ErrorCode::ALL.into_iter().find(|known| known.as_str() == code)
}

fn path(error: &ServerError) -> String {
    let segments = error.path.iter().map(|segment| match segment {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(index) => index.to_string(),
    });
    segments.collect::<Vec<_>>().join(".")
}

fn extensions(error: &mut ServerError) -> &mut ErrorExtensionValues {
    error.extensions.get_or_insert_default()
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
        // The first one always stays: its message, and the names in its path, are bounded.
        if index > 0 && out.len() - start > MAX_ERROR_BYTES {
            out.truncate(end);
            break;
        }
    }
    out.push(b']');
}

fn member(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    key(out, name);
    write(out, value);
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write(out, &name);
    out.push(b':');
}

/// The bytes of an answer's data that are JSON already, which is most of a large one.
fn written(value: &Value) -> usize {
    match value {
        Value::Binary(json) => json.len(),
        Value::List(items) => items.iter().map(written).sum(),
        Value::Object(fields) => fields.values().map(written).sum(),
        _ => 0,
    }
}

/// Data of an answer. What is binary in it is JSON already: an object that was written as a whole.
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

/// Values of the library always have a JSON form; should one not, `null` keeps the answer JSON.
fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        tracing::error!(error.message = %error, "a value has no JSON form");
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}
