//! Reads GraphQL requests from the target or the body, within limits of type, size and time.

use futures_util::TryStreamExt;
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::{Body, Request};
use serde_json::Value;

use crate::budget::{Exhausted, FREE_BYTES, Reservation};
use crate::config::Http;
use crate::engine::{GraphqlRequest, NO_JSON, QueryString};
use crate::http::{client_info, server::deadline::in_time};

/// Longest request target, in bytes: a document of 16 KiB with every second character escaped.
const TARGET_MAX_BYTES: usize = 32 * 1024;

/// Size to which the HTTP server's buffer may grow with a body, in bytes.
const READ_BUFFER_BYTES: usize = 80 * 1024;

/// Memory of a parsed JSON value, in bytes.
const VALUE_BYTES: usize = 96;

const TOO_LARGE: BodyError =
    BodyError::Request(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large: send less.");

/// GraphQL requests that one HTTP request contains.
pub enum Work {
    /// One operation.
    One(GraphqlRequest),
    /// Several operations in an array, not parsed yet.
    Batch(Vec<Value>),
}

/// Reason why a body is not read.
pub enum BodyError {
    /// The request is not one of GraphQL over HTTP: the status and a sentence.
    Request(StatusCode, &'static str),
    /// There is no memory for the body.
    Memory(Exhausted),
}

impl From<Exhausted> for BodyError {
    fn from(exhausted: Exhausted) -> Self {
        Self::Memory(exhausted)
    }
}

/// Reads the operations of a request. Consumes its body.
pub async fn read(request: &mut Request, settings: &Http, memory: &mut Reservation) -> Result<Work, BodyError> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if target.len() > TARGET_MAX_BYTES {
        return Err(BodyError::Request(StatusCode::URI_TOO_LONG, "The URL is too long: send a POST request."));
    }
    match *request.method() {
        Method::GET => read_query(request),
        Method::POST => read_body(request, settings, memory).await,
        _ => Err(BodyError::Request(StatusCode::METHOD_NOT_ALLOWED, "Send a GET or POST request.")),
    }
}

fn read_query(request: &Request) -> Result<Work, BodyError> {
    if request.headers().contains_key(header::CONTENT_TYPE) {
        check_content_type(request.headers())?;
    }
    let fields: QueryString = request.params().map_err(|_| bad_request("The query string is malformed."))?;
    GraphqlRequest::from_query(fields).map(Work::One).map_err(bad_request)
}

async fn read_body(request: &mut Request, settings: &Http, memory: &mut Reservation) -> Result<Work, BodyError> {
    check_content_type(request.headers())?;
    if request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(BodyError::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding."));
    }
    let body = collect(request, settings, memory).await?;
    if body.len() > FREE_BYTES {
        memory.grow(parsed_bytes(&body))?;
    }
    if !body.trim_ascii_start().starts_with(b"[") {
        return GraphqlRequest::from_slice(&body).map(Work::One).map_err(bad_request);
    }
    let calls: Vec<Value> = serde_json::from_slice(&body).map_err(|_| bad_request(NO_JSON))?;
    match calls.len() {
        _ if settings.batch_limit == 0 => {
            Err(bad_request("Arrays of operations are disabled: send one operation per request."))
        }
        length if (1..=settings.batch_limit).contains(&length) => Ok(Work::Batch(calls)),
        _ => Err(bad_request("The array of operations is empty or too long.")),
    }
}

/// Accepts JSON by its exact name only. A foreign page can send other types without a preflight.
fn check_content_type(headers: &HeaderMap) -> Result<(), BodyError> {
    let mut parts = client_info::text(headers, header::CONTENT_TYPE).unwrap_or_default().split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if is_json && is_utf8 {
        Ok(())
    } else {
        Err(BodyError::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json in UTF-8."))
    }
}

/// Reads the body within its limits. Counts bytes as they arrive, because the announced length may be missing or wrong.
async fn collect(request: &mut Request, settings: &Http, memory: &mut Reservation) -> Result<Vec<u8>, BodyError> {
    let announced =
        client_info::text(request.headers(), header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > settings.body_max_bytes) {
        return Err(TOO_LARGE);
    }
    let body = receive(request.take_body(), announced.unwrap_or_default(), settings.body_max_bytes, memory);
    let received = in_time(settings.body_timeout(), body).await;
    received.unwrap_or(Err(BodyError::Request(StatusCode::REQUEST_TIMEOUT, "The request body arrived too slowly.")))
}

/// Receives the body in chunks. poem's own method would keep a buffer inside this future and all futures around it.
async fn receive(
    body: Body,
    announced: usize,
    max_bytes: usize,
    memory: &mut Reservation,
) -> Result<Vec<u8>, BodyError> {
    let (mut chunks, mut received) = (body.into_bytes_stream(), Vec::new());
    make_room(&mut received, announced, memory)?;
    while let Some(chunk) = chunks.try_next().await.map_err(|_| bad_request("The request body is incomplete."))? {
        let length = received.len() + chunk.len();
        if length > max_bytes {
            return Err(TOO_LARGE);
        }
        if length > received.capacity() {
            make_room(&mut received, length.next_power_of_two().min(max_bytes), memory)?;
        }
        received.extend_from_slice(&chunk);
    }
    Ok(received)
}

/// Reserves memory for a body of `length` bytes, then allocates the body.
fn make_room(body: &mut Vec<u8>, length: usize, memory: &mut Reservation) -> Result<(), BodyError> {
    if length > FREE_BYTES {
        // The HTTP server's buffer grows with a long body.
        let buffer = if memory.amount() == 0 { READ_BUFFER_BYTES } else { 0 };
        memory.grow(length + buffer)?;
    }
    body.reserve_exact(length.saturating_sub(body.len()));
    Ok(())
}

/// Estimates the memory of a parsed body: each JSON value begins after one of these characters.
fn parsed_bytes(body: &[u8]) -> usize {
    let values = body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{' | b':')).count();
    body.len() + values * VALUE_BYTES
}

fn bad_request(message: &'static str) -> BodyError {
    BodyError::Request(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf8_passes() {
        for (content_type, passes) in [
            ("application/json", true),
            ("Application/JSON; charset=\"UTF-8\"", true),
            ("application/json;profile=x", true),
            ("application/json; charset=latin1", false),
            ("application/jsonp", false),
            ("text/plain; application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(check_content_type(&headers).is_ok(), passes, "{content_type}");
        }
    }
}
