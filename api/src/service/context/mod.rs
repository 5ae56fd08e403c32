//! Shared parts of use cases: the backend, the request, errors, pages and rate limits.

pub(super) mod backend;
pub(super) mod error;
pub(super) mod page;
pub mod rate_limits;
pub(super) mod request;
pub(super) mod streams;
