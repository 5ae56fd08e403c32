//! Errors of fields: a code for programs, a sentence for people, and a cause for the log only.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, Pos, ServerError, Value};

use crate::domain::ErrorCode;

/// Error that a field or a request fails with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FieldError(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    code: ErrorCode,
    message: String,
    extensions: Vec<(&'static str, serde_json::Value)>,
    cause: Option<String>,
}

impl FieldError {
    /// Creates an error. The client receives the code and `extensions`; the log receives `cause`.
    #[must_use]
    pub fn new(
        code: ErrorCode,
        message: String,
        extensions: Vec<(&'static str, serde_json::Value)>,
        cause: Option<String>,
    ) -> Self {
        Self(Arc::new(Inner { code, message, extensions, cause }))
    }

    /// Returns the code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Returns the cause, which only the log receives.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Returns the seconds to wait before a retry, if the error names them.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        let (_, seconds) = self.0.extensions.iter().find(|(name, _)| *name == "retryAfterSeconds")?;
        seconds.as_u64()
    }

    /// Converts into an error of async-graphql at these positions of the document, with this error as its source.
    pub(super) fn at(&self, positions: Vec<Pos>) -> ServerError {
        let mut extensions = ErrorExtensionValues::default();
        for (name, value) in &self.0.extensions {
            extensions.set(*name, Value::from_json(value.clone()).unwrap_or_default());
        }
        let mut error = ServerError::new(&self.0.message, None);
        error.locations = positions;
        error.extensions = Some(extensions);
        error.source = Some(Arc::new(self.clone()));
        error
    }
}

/// Lets resolvers return this error. async-graphql keeps the source, by which [`Answer`](super::Answer) recognises the
/// error.
impl From<FieldError> for async_graphql::Error {
    fn from(error: FieldError) -> Self {
        let ServerError { message, source, extensions, .. } = error.at(Vec::new());
        Self { message, source, extensions }
    }
}
