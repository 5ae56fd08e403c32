//! Why a request does not run: what a client is told before anything is executed.

use async_graphql::{ErrorExtensionValues, Pos, ServerError, Value};

use crate::domain::ErrorCode;

/// One error of a request that was not executed.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestError {
    /// Its kind, for programs.
    pub code: ErrorCode,
    /// Its sentence, for people.
    pub message: String,
    /// Where in the document, when it can be told.
    pub locations: Vec<Pos>,
    /// What else goes into `extensions`.
    pub fields: Vec<(&'static str, serde_json::Value)>,
}

impl RequestError {
    /// A refusal without a place.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), locations: Vec::new(), fields: Vec::new() }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, position: Pos) -> Self {
        self.locations.push(position);
        self
    }

    /// More than a limit allows; `seen` may be where counting ended.
    pub(crate) fn over(what: &str, seen: usize, limit: usize) -> Self {
        Self::new(ErrorCode::TooComplex, format!("The document has {seen} {what}; at most {limit} are accepted."))
    }
}

impl From<RequestError> for Vec<RequestError> {
    fn from(refusal: RequestError) -> Self {
        vec![refusal]
    }
}

impl From<RequestError> for ServerError {
    fn from(refusal: RequestError) -> Self {
        let mut extensions = ErrorExtensionValues::default();
        for (name, value) in refusal.fields {
            extensions.set(name, Value::from_json(value).unwrap_or_default());
        }
        extensions.set("code", refusal.code.as_str());
        let mut error = Self::new(refusal.message, None);
        error.locations = refusal.locations;
        error.extensions = Some(extensions);
        error
    }
}
