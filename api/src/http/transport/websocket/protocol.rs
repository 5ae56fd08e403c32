//! Parses and writes the messages of graphql-transport-ws, and lists the codes that close a socket.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::engine::GraphqlRequest;
use crate::http::{answer::Answer, client_info};

/// Longest id of an operation. Clients use a UUID or a counter.
const ID_MAX_BYTES: usize = 128;

/// Reason why a socket is closed. Its text has at most 123 bytes (RFC 6455, section 5.5) and gives no details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// Code by which the client decides whether to reconnect.
    pub code: u16,
    /// Text for people.
    pub reason: &'static str,
}

/// Message from a client.
#[derive(Debug)]
pub enum Incoming {
    /// `connection_init`, with the access token if the payload has one.
    Init(Option<String>),
    /// `ping`, with its payload.
    Ping(Option<Map<String, Value>>),
    /// `pong`.
    Pong,
    /// `subscribe`.
    Subscribe(String, GraphqlRequest),
    /// `complete`.
    Complete(String),
}

impl Close {
    pub const IDLE: Self = Self::new(1000, "Idle without a session");
    pub const TOO_BIG: Self = Self::new(1009, "Message too big");
    pub const RESTART: Self = Self::new(1012, "Service restart");
    pub const TOO_MANY_MESSAGES: Self = Self::new(1013, "Too many messages");
    pub const SLOW_WRITER: Self = Self::new(1013, "Sending too slowly");
    pub const SLOW_READER: Self = Self::new(1013, "Reading too slowly");
    pub const TRY_AGAIN: Self = Self::new(1013, "Try again later");
    pub const UNAUTHORIZED: Self = Self::new(4401, "Unauthorized");
    pub const FORBIDDEN: Self = Self::new(4403, "Forbidden");
    pub const TOO_MANY_CONNECTIONS: Self = Self::new(4403, "TOO_MANY_CONNECTIONS");
    pub const INIT_TIMEOUT: Self = Self::new(4408, "Connection initialisation timeout");
    pub const DUPLICATE_ID: Self = Self::new(4409, "Subscriber for this id already exists");
    pub const TOO_MANY_INITS: Self = Self::new(4429, "Too many initialisation requests");

    /// Returns the close for a message that violates the protocol.
    pub const fn invalid(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

impl Incoming {
    /// Parses one text frame. The error quotes neither the frame nor the parser.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Err("The message is not a JSON object");
        };
        let kind = fields.remove("type");
        match kind.as_ref().and_then(Value::as_str).ok_or("The message has no type")? {
            "connection_init" => Ok(Self::Init(token(payload(&mut fields)?.as_ref()))),
            "ping" => Ok(Self::Ping(payload(&mut fields)?)),
            "pong" => payload(&mut fields).map(|_| Self::Pong),
            "subscribe" => {
                let id = id(&mut fields)?;
                let payload = fields.remove("payload").ok_or("The message has no payload")?;
                Ok(Self::Subscribe(id, GraphqlRequest::from_json(payload)?))
            }
            "complete" => Ok(Self::Complete(id(&mut fields)?)),
            _ => Err("Clients may not send messages of this type"),
        }
    }
}

/// Returns the access token of a payload, under the name of the HTTP header.
pub fn token(payload: Option<&Map<String, Value>>) -> Option<String> {
    let value = payload.and_then(|payload| payload.get("Authorization").or_else(|| payload.get("authorization")))?;
    Some(client_info::bearer(value.as_str().unwrap_or_default()).to_owned())
}

/// Writes a `connection_ack`.
pub fn ack() -> String {
    r#"{"type":"connection_ack"}"#.to_owned()
}

/// Writes a `pong`.
pub fn pong(payload: Option<Map<String, Value>>) -> String {
    match payload {
        Some(payload) => json!({ "type": "pong", "payload": payload }).to_string(),
        None => r#"{"type":"pong"}"#.to_owned(),
    }
}

/// Writes a `next`.
pub fn next(id: &str, answer: &Answer) -> String {
    write("next", id, Some(&String::from_utf8_lossy(&answer.body)))
}

/// Writes an `error`, whose payload is only the list of errors.
pub fn error(id: &str, answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Errors<'a> {
        #[serde(borrow)]
        errors: &'a RawValue,
    }
    let errors = serde_json::from_slice(&answer.body).map_or("[]", |Errors { errors }| errors.get());
    write("error", id, Some(errors))
}

/// Writes a `complete`.
pub fn complete(id: &str) -> String {
    write("complete", id, None)
}

/// Wraps JSON text in a message without parsing it.
fn write(kind: &str, id: &str, payload: Option<&str>) -> String {
    let mut message = format!(r#"{{"id":{},"type":"{kind}""#, Value::from(id));
    if let Some(payload) = payload {
        message.reserve_exact(payload.len() + 12);
        message.push_str(r#","payload":"#);
        message.push_str(payload);
    }
    message.push('}');
    message
}

fn id(fields: &mut Map<String, Value>) -> Result<String, &'static str> {
    match fields.remove("id") {
        Some(Value::String(id)) if (1..=ID_MAX_BYTES).contains(&id.len()) => Ok(id),
        _ => Err("The message's id is not a string of 1 to 128 bytes"),
    }
}

fn payload(fields: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, &'static str> {
    match fields.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err("The message's payload is not an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_refused_in_a_reason_that_fits_a_frame() {
        for text in [
            "",
            "{",
            "[]",
            "\"ping\"",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"start"}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"subscribe","payload":{}}"#,
            r#"{"type":"subscribe","id":"","payload":{}}"#,
            r#"{"type":"subscribe","id":1,"payload":{}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"ping","payload":[]}"#,
            &format!(r#"{{"type":"ping","payload":{}}}"#, "[".repeat(10_000)),
        ] {
            assert!(Incoming::parse(text).unwrap_err().len() <= 123, "{text}");
        }
    }

    #[test]
    fn ids_are_escaped() {
        assert_eq!(complete("a\"b"), r#"{"id":"a\"b","type":"complete"}"#);
    }

    #[test]
    fn the_token_is_found_under_both_names() {
        for name in ["Authorization", "authorization"] {
            let text = format!(r#"{{"type":"connection_init","payload":{{"{name}":"Bearer t"}}}}"#);
            let Ok(Incoming::Init(token)) = Incoming::parse(&text) else { panic!("{text}") };
            assert_eq!(token.as_deref(), Some("t"));
        }
    }
}
