//! Errors of requests that are not executed.

use async_graphql::{Pos, ServerError};

use crate::{domain::ErrorCode, engine::FieldError};

/// One error of a request that is not executed.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestError {
    /// The code, for programs.
    pub code: ErrorCode,
    /// A sentence, for people.
    pub message: String,
    /// The positions in the document, if any.
    pub locations: Vec<Pos>,
    /// Additional members of `extensions`.
    pub extensions: Vec<(&'static str, serde_json::Value)>,
}

impl RequestError {
    /// Creates an error without a position.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), locations: Vec::new(), extensions: Vec::new() }
    }

    /// Adds a position in the document.
    #[must_use]
    pub fn at(mut self, position: Pos) -> Self {
        self.locations.push(position);
        self
    }

    /// Adds a member of `extensions`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.extensions.push((name, value.into()));
        self
    }

    /// Creates the error of a document over a limit. Counting may have stopped at `seen`.
    pub(super) fn over(what: &str, seen: usize, limit: usize) -> Self {
        Self::new(ErrorCode::TooComplex, format!("The document has {seen} {what}; at most {limit} are allowed."))
    }
}

impl From<RequestError> for Vec<RequestError> {
    fn from(error: RequestError) -> Self {
        vec![error]
    }
}

impl From<RequestError> for ServerError {
    fn from(error: RequestError) -> Self {
        FieldError::new(error.code, error.message, error.extensions, None).at(error.locations)
    }
}
