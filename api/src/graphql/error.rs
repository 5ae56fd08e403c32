//! How a use case's refusal is told to the client.

use std::sync::Arc;

use async_graphql::ErrorExtensions;

use crate::service;

/// The error of a field, with its code and whatever belongs to it in `extensions`.
#[derive(Clone)]
pub(crate) struct Error(Arc<service::Error>);

/// What a resolver returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl From<service::Error> for Error {
    fn from(error: service::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// What a loader failed with is told to each field that waited for it.
impl From<Arc<service::Error>> for Error {
    fn from(error: Arc<service::Error>) -> Self {
        Self(error)
    }
}

impl From<Error> for async_graphql::Error {
    fn from(Error(error): Error) -> Self {
        let told = Self::new(error.to_string()).extend_with(|_, extensions| {
            extensions.set("code", error.code().as_str());
            for (name, value) in error.fields() {
                extensions.set(name, async_graphql::Value::from_json(value).unwrap_or_default());
            }
        });
        // The cause goes along for the log, which is written where the request's id is known.
        Self { source: Some(error), ..told }
    }
}
