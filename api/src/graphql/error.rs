//! Errors of use cases as errors of fields.

use std::sync::Arc;

use crate::{engine::FieldError, service};

/// Result of a resolver.
pub(crate) type Result<T> = std::result::Result<T, FieldError>;

impl From<service::Error> for FieldError {
    fn from(error: service::Error) -> Self {
        Self::from(&error)
    }
}

/// Converts the error of a batch, which every waiting field gets.
impl From<Arc<service::Error>> for FieldError {
    fn from(error: Arc<service::Error>) -> Self {
        Self::from(&*error)
    }
}

impl From<&service::Error> for FieldError {
    fn from(error: &service::Error) -> Self {
        Self::new(error.code(), error.to_string(), error.fields(), error.cause().map(str::to_owned))
    }
}
