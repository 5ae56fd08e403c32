//! Runs GraphQL requests over any schema: prepares documents, executes operations, writes answers as JSON.

pub mod executor;
pub mod field_spans;
pub mod load_queue;
pub mod object;
pub mod prepare;
pub mod request_error;
pub mod response;
pub mod result_shape;
